"""The patterns of the threat scan: text that an attack needs, and that legitimate text hardly ever has.

Case is ignored and `.` matches a line break. `<<start>>` is the start of a value and `<<end>>` its end; the other names
in double angle brackets are in VOCABULARY. How much a match says is the pattern's Strength; of a type of activity the
strongest come first. There is no look-around and no back reference: the engine is an automaton.

Activity types beyond the usual six: header_injection (CR LF, response splitting, mail commands), ldap_injection (with
XPath, the other filter language), nosql_injection, ssrf (with remote file inclusion) and xxe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

VOCABULARY: Final = {
    "start": r"[\x1e\x1f]\s*",
    "end": r"\s*[\x1e\x1f]",
    # Commands whose name is not an ordinary word: a separator before them is enough.
    "command": (
        r"(?:/?(?:usr/)?(?:local/)?s?bin/)?(?:whoami|uname|ifconfig|ipconfig|netstat|nslookup|wget|curl|ping6?|ncat|"
        r"netcat|traceroute|tracert|bash|[zkcd]a?sh|sh|ls|pwd|chown|passwd|tftp|telnet|mkdir|systeminfo|tasklist|"
        r"powershell(?:\.exe)?|pwsh|cmd(?:\.exe)?|certutil|bitsadmin|gawk|egrep|fgrep|xxd|base64|busybox|socat|lsof|"
        r"printenv|sudo|scp|getent|dig|ps|phpinfo|crontab|uptime|systemctl|mysqldump|useradd|adduser|dir|"
        r"net\s+(?:user|view|localgroup)|reg\s+(?:add|query)|nmap|tac|nl|xargs|aptitude|apt(?:-get)?|yum|dnf|dpkg|"
        r"strace|ltrace|gdb|rmt|visudo|tcpdump|rsync|sqlite3|psql|msfconsole|journalctl|dmesg|lwp-\w+|ssh|sftp|"
        r"openssl|uuencode|hexdump|mawk|nawk|chroot|ldconfig|iconv|expect|tclsh|lua|irb|pip3?|gem|npm|docker|kubectl)"
    ),
    # Commands that are also words, or do nothing alone: they count only with something that looks like an argument.
    "word_command": (
        r"(?:/?(?:usr/)?(?:local/)?s?bin/)?(?:who|w|find|head|tail|more|less|sort|cut|echo|printf|kill|killall|time|"
        r"timeout|test|touch|tee|date|host|hostname|last|finger|which|whereis|locate|source|export|set|alias|history|"
        r"mount|df|du|diff|cmp|install|make|man|split|strings|tar|zip|gzip|vim?|ed|nano|node|java|go|at|batch|route|arp|"
        r"ip|nice|nohup|watch|env|exit|read|shutdown|reboot|copy|move|del|start|call|netsh|wmic|net|print|system|login|"
        r"groups|users|stat|file|cat|cp|mv|rm|chmod|grep|sed|awk|python[\d.]*|perl|php|ruby|nc|su|ftp|mail|type|ver|vol|"
        r"rev|eval|exec|sleep|id)"
    ),
    "argument": r"(?:\s+(?:-{1,2}\w|[/~$\"'`%.*?]|\d|[\w.-]+[/\\.=]|\w+\s*[|;&])|\s*(?:[<>|`&]|\x1e)|\$)",
    "sensitive_file": (
        r"(?:etc[/\\]+(?:passwd|shadow|hosts|group|issue|motd|fstab|crontab|sudoers|ssh|security|mysql|apache2?|httpd|"
        r"nginx|php|init\.d|master\.passwd|hostname|resolv|release|profile|cron|samba|my\.cnf|redhat-release)|"
        r"boot\.ini|win\.ini|system\.ini|windows[/\\]+(?:system32|win\.ini|repair|php\.ini|system\.ini)|winnt[/\\]|"
        r"proc[/\\]+(?:self|version|cpuinfo|meminfo|cmdline|net|mounts|sched_debug|\d+)|"
        r"var[/\\]+(?:log|lib|run|spool|mail|adm|cpanel|www)[/\\]+|(?:master|htpasswd|\.)passwd\b|"
        r"\.ht(?:access|passwd|group)|wp-config\.|\.ssh[/\\]|id_(?:rsa|dsa|ed25519)\b|authorized_keys|"
        r"\.(?:bash|mysql|sh|zsh|psql)_history|\.bashrc|web\.config|web-inf|meta-inf|global\.asa|httpd\.conf|"
        r"php\.ini|my\.(?:cnf|ini)|\.git[/\\](?:config|head|index)|\.svn[/\\]|\.env\b|\.aws[/\\]|"
        r"(?:access|error)[._]log|apache[/\\]+(?:logs?|conf)|nginx\.conf|config\.inc\.php|sam\b|security\.sav)"
    ),
    # A comparison of two constants, true whatever the query: hyperscan has no back reference.
    "tautology": (
        r"(?:(?:0\s*=\s*0|1\s*=\s*1|2\s*=\s*2|3\s*=\s*3|4\s*=\s*4|5\s*=\s*5|6\s*=\s*6|7\s*=\s*7|8\s*=\s*8|9\s*=\s*9)|"
        r"\d{2,}\s*=\s*\d{2,}|'[^'\s\x1e]*'\s*(?:=|like)\s*'[^'\s\x1e]*|"
        r"\"[^\"\s\x1e]*\"\s*(?:=|like)\s*\"[^\"\s\x1e]*)"
    ),
    # Commands that nobody mistakes for a word.
    "probe": (
        r"(?:whoami|uname|ifconfig|ipconfig|netstat|nslookup|wget|phpinfo|powershell(?:\.exe)?|pwsh|cmd\.exe|certutil|"
        r"bitsadmin|systeminfo|tasklist|printenv|busybox|tftp|ping6?\s+-\w|curl\s+(?:-\w|https?:)|cat\s+[/$]|ls\s+(?:-\w|/)|"
        r"(?:/\w+)*/s?bin/\w|[bkz]?sh\s+-\w|net\s+user\b|nc\s+-\w|rm\s+-[rf]|id\s*[;|`]|sleep\s+\d+\s*[;|&`#\x1e]|python\d*\s+-c|"
        r"perl\s+-e|php\s+-r|ruby\s+-e|echo\s+[$`\\-]|dir\s+[\w]:|type\s+[\w%]:|type\s+%)"
    ),
    "event": (
        r"on(?:abort|activate|after\w+|animation\w+|auxclick|before\w+|begin|blur|bounce|cancel|canplay\w*|change|click|"
        r"close|contextmenu|copy|cuechange|cut|data\w+|dblclick|deactivate|drag\w*|drop|durationchange|emptied|end\w*|"
        r"error\w*|finish|focus\w*|formdata|fullscreen\w*|gesture\w*|gotpointercapture|hashchange|help|input|invalid|"
        r"key\w+|layoutcomplete|load\w*|lostpointercapture|lose\w+|media\w+|message\w*|mouse\w+|move\w*|offline|online|"
        r"outofsync|page\w+|paste|pause|play\w*|pointer\w+|popstate|progress|propertychange|ratechange|readystatechange|"
        r"repeat|reset|resize\w*|resume|reverse|row\w+|scroll\w*|search|seek\w*|select\w*|show|slotchange|sort|stalled|"
        r"start|stop|storage|submit|suspend|synchrestored|timeerror|timeupdate|toggle|touch\w+|track\w+|transition\w+|"
        r"unhandledrejection|unload|url\w+|volumechange|waiting|webkit\w+|wheel)"
    ),
    "dialog": (r"(?:alert|prompt|confirm|eval|write(?:ln)?|setTimeout|setInterval|execScript|atob)"),
    "tag": (
        r"(?:a|abbr|address|animate\w*|applet|area|article|audio|b|base|basefont|bgsound|blink|body|br|button|canvas|center|"
        r"datalist|details|dialog|div|embed|feimage|fieldset|font|foreignobject|form|frame|frameset|h[1-6]|handler|"
        r"head|hr|html|i|iframe|ilayer|image|img|input|isindex|keygen|label|layer|li|link|listing|map|marquee|math|"
        r"menu|meta|noembed|noframes|noscript|object|option|p|param|picture|plaintext|pre|q|s|script|select|set|"
        r"source|span|strong|style|svg|table|tbody|td|template|textarea|title|tr|track|u|ul|use|var|video|x|xml|xmp|xss|"
        r"[\w]+:[\w]+)"
    ),
    "sql_compare": (
        r"(?:=|<>|<|>|!=|\blike\b|\brlike\b|\bregexp\b|\bglob\b|\bis\s+(?:not\s+)?null|\bin\s*\(|\bbetween\s+\d|"
        r"\bsounds\b)"
    ),
    "sql_table": r"(?:[\w.$`\"\[\]@]+)",
    "sql_function": (
        r"(?:sleep|benchmark|pg_sleep|load_file|extractvalue|updatexml|randomblob|group_concat|concat_ws|json_search|"
        r"json_array|json_extract|row_count|found_rows|last_insert_id|current_user|session_user|system_user|"
        r"aes_(?:en|de)crypt|des_(?:en|de)crypt|make_set|elt|conv|unhex|ascii|substring_index|bit_and|bit_or|"
        r"string_agg|xmlagg|xmlelement|xmltype|to_char|to_number|nullif|ifnull|isnull|nvl|quote_ident|chr|"
        r"dbms_\w+\.\w+|utl_\w+\.\w+|ctxsys\.\w+(?:\.\w+)?|sys\.\w+\.?\w*|polygon|multipoint|geometrycollection|"
        r"linestring|gtid_subset|name_const|procedure\s+analyse|sqlite_version|load_extension|pg_read_file|lo_import|"
        r"fn_varbintohexstr|master\.\.\w+|db_name|user_name|schema_name|object_id|col_length|is_srvrolemember|"
        r"has_dbaccess|curdate|curtime|utc_\w+|uuid_short)"
    ),
    "private_host": (
        r"(?:localhost|ip6-localhost|ip6-loopback|127\.[\d.x]+|0\.0\.0\.0|0[/:\x1e]|10\.\d+\.\d+\.\d+|192\.168\.\d+\.\d+|"
        r"172\.(?:1[6-9]|2\d|3[01])\.\d+\.\d+|169\.254\.\d+\.\d+|192\.0\.0\.192|100\.100\.100\.200|\[[\da-f:.%]*\]|"
        r"\d{8,11}\b|0x[\da-f]{2,8}|0[0-7]{2,}\.|metadata\.\w+|instance-data|kubernetes\.default)"
    ),
}

_NAME: Final = re.compile(r"<<(\w+)>>")


def expand(expression: str) -> str:
    """Return `expression` with each <<name>> replaced by its words. Raises KeyError for an unknown name."""
    while _NAME.search(expression):
        expression = _NAME.sub(lambda name: VOCABULARY[name[1]], expression)
    return expression


class Strength(IntEnum):
    """How much a match says, and so what it may lead to.

    Every match in an ordinary value is recorded. Where attacks are blocked, a request is refused from SIGN on. In prose
    (long values made of words) only PROOF counts, and in what members write to each other only PROOF refuses.
    """

    HINT = 1
    """People write it too: words, quotation marks, a command or a path that they talk about."""

    SIGN = 2
    """Attacks and code alone have it, never words and quotation marks."""

    PROOF = 3
    """An attack has it, and text about code hardly ever."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One expression, the kind of attack that a match means, how much it says, and why."""

    activity_type: str
    expression: str
    reason: str
    strength: Strength


def _patterns(activity_type: str, strength: Strength, rows: tuple[tuple[str, str], ...]) -> tuple[Pattern, ...]:
    return tuple(Pattern(activity_type, expand(expression), reason, strength) for expression, reason in rows)


# fmt: off
_SQL_PROOFS = (
    (r"\b(?:(?:pg_sleep|dbms_pipe\.receive_message|dbms_lock\.sleep|utl_inaddr\.\w+|utl_http\.request|extractvalue|updatexml)\s*\([^)]|benchmark\s*\(\s*[\w'\"]+\s*,)", "functions for blind and error-based extraction"),
    (r"\bwaitfor\s+(?:delay|time)\s*['\"(@]", "a delay for blind extraction"),
    (r"\binto\s+(?:out|dump)file\b\s*['\"(]?", "a query written to a file"),
    (r"['\"`)]\s*(?:or|and|xor|\|\||&&)[\s(!~+-]*<<tautology>>['\")\s]*(?:--|#|/\*|;|<<end>>)", "a closed string, a tautology and the rest cut off"),
    (r"(?:\bexec\w*\s+(?:master\W+dbo\W+)?|\.\.|[;'\"]\s*)xp_\w+", "a call of SQL Server's procedures that reach the system"),
)

_SQL_SIGNS = (
    (r"\b(?:execute\s+immediate|exec\s+(?:master|sp_|xp_|\(|@)|declare\s+@\w+\s|set\s+@\w+\s*=|prepare\s+\w+\s+from|master\.\.|sp_(?:executesql|password|oacreate|makewebtask|configure|addextendedproc|helptext|who)\b)", "server-side statements"),
    (r"\b(?:openrowset|opendatasource|openquery)\s*\(", "another server queried"),
    (r"['\"]\s*(?:\|\|?|&&?|\^|\*|/|%|\+|-|=|<=>|<|>|<<|>>)\s*(?:['\"(]|\w+)[\s'\")]*(?:--|#|/\*)", "a closed string in arithmetic and a comment"),
    (r"<<start>>['\"]\s*(?:=|<=>|<>|!=|\^|\|\||&&|-|\+|<|>|%|\|)\s*['\"(]?\w{0,12}\s*['\"(]?<<end>>", "a closed string compared or combined with nothing"),
    (r"\bprocedure\s+analyse\s*\(|\bnatural\s+join\b|\bcross\s+apply\b|\bregexp_like\s*\(", "dialect clauses"),
    (r"(?:[,(=]|\bselect\b|\bunion\b|\bby\b)\s*0x[0-9a-f]{6,}", "a string as hexadecimal digits"),
    (r"(?:char|chr|nchar)\s*\(\s*\d{1,3}\s*\)\s*(?:\+|\|\||,|&|--|\))", "a string spelled by character codes"),
    (r"\d\s*/\*[^*\x1e]*\*/\s*(?:or|and|union|select|=|from)\b|/\*!\d{0,6}\s*\w+|/\*\*/\w+/\*\*/", "comments for blanks, or comments that run"),
    (r"\bfrom\s+dual\b|\bdual\b\s*(?:where|--|#|\)|<<end>>)", "Oracle's table of one row"),
    (r"union[\s(+]+(?:(?:all|distinct)[\s(+]*)?select[\s(+]+(?:['\"@*(]|0x|null\b|\d+\s*(?:,|--|#|<<end>>|from\b)|\w+\s*\()|(?:<<start>>-?\d[\w.]{0,12}|['\")])[\s)]*union[\s(+]+(?:(?:all|distinct)[\s(+]*)?select\b", "a second query joined to a value"),
    (r"\bselect\b[\s(+]*(?:@@\w+|\*\s*from\s+\w|0x[0-9a-f]{4,}|(?:count|char|chr|concat\w*|sleep|version|user|database|load_file|hex|if|cast|convert|substr\w*|mid|ascii|length|pg_\w+|sqlite_\w+)\()", "a select of a variable, call or literal"),
    (r"(?:[=,+|&<>*/-]|\b(?:exists|ascii|substr\w*|mid|length|count|concat\w*|if|sleep|cast|convert|hex|ord|char|chr|updatexml|elt)\s*\()\s*\(*\s*select\s*[\w(*@'\"]|\(\s*select\s*(?:[(*@'\"]|\d|null\b)", "a subquery in an expression"),
    (r"['\")]\s*;\s*(?:(?:drop|alter|create|truncate)\s+(?:table|database|view|user|index|login|procedure|function)\b|insert\s+into\b|delete\s+from\b|update\s+\w+\s+set\b|exec\w*\s*[(@\w]|declare\s+@?\w|shutdown\b|waitfor\s+\w|select\s+\w*\()[^\x1e]*(?:--|#|/\*|;\s*<<end>>)", "a closed string, a stacked statement and a comment"),
    (r"(?:<<start>>-?\d+|['\")])\s*;\s*(?:(?:drop|truncate)\s+(?:table|database)\s|insert\s+into\s+\w+\s*(?:\(|values|select)|update\s+\w+\s+set\s+\w+\s*=|delete\s+from\s+\w+|exec\w*\s*[(@]|declare\s+@|select\s+(?:\*|[\w]+\(|pg_sleep))", "a statement stacked behind a value"),
    (r"\b(?:pg_sleep|randomblob|group_concat|concat_ws|json_(?:search|array|extract)|aes_(?:en|de)crypt|des_(?:en|de)crypt|make_set|unhex|substring_index|bit_and|bit_or|xmlagg|xmltype|dbms_\w+\.\w+|utl_\w+\.\w+|ctxsys\.\w+(?:\.\w+)?|multipoint|geometrycollection|linestring|gtid_subset|name_const|load_(?:file|extension)|pg_read_file|lo_import|fn_varbintohexstr|is_srvrolemember|sqlite_version|last_insert_id)\(\s*[^)\s]|\b(?:procedure\s+analyse)\s*\(", "a function that queries of users never hold"),
    (r"(?:[,('\"=+|&;]|<<start>>|\b(?:or|and|select|by|then|when|if)\s+)(?:database|version|schema|connection_id|found_rows|row_count|utc_date|schema_name|session_user|system_user|last_insert_id|current_user|user|sleep)\(\s*\d*\s*\)\s*(?:--|#|[=<>,)+]|/\*|\|\||<<end>>|(?:and|or|from|union)\b)", "a call of the server about itself"),
    (r"\b(?:concat|substr|substring|mid|ord|hex|char|char_length|length|convert|cast|ascii|lower|upper|reverse|lpad|rpad|replace|md5|sha1|instr|locate|position|coalesce|greatest|least|if|log|exp|bin|strcmp|find_in_set|overlay)\(\s*(?:\(\s*select\b|select\b|@@|0x[0-9a-f]|(?:user|version|database|current_user|schema)\(|(?:table|column|schema)_name|\w+\s*,\s*\d+\s*,\s*\d+\s*\)\s*[=<>])", "string and number functions over the schema"),
    (r"\b(?:from|join|into)[\s(]+(?:information_schema|sysobjects|syscolumns|sysusers|sys\.\w+|pg_\w+|sqlite_\w+|all_tab\w+|user_tab\w+|dba_\w+|sysibm\.|msysobjects|mysql\.\w+|v\$\w+)|\binformation_schema\.\w+\s+(?:where|limit|--)", "a query of catalogue tables"),
    (r"@@(?:version|hostname|datadir|basedir|servername|global|session\.|language|spid)\b", "server variables"),
    (r"(?:['\"`)]|<<start>>-?[\d.]+)[\s)]*(?:or|and|xor|having|where|\|\||&&)[\s(!~+-]*(?:not\s+)?(?:<<tautology>>|\d+\s*=\s*\d+\s*(?:--|#|/\*|<<end>>))", "a tautology behind a closed value"),
    (r"<<start>>\s*(?:or|and|\|\||&&)[\s(]+<<tautology>>", "a value that is a tautology"),
    (r"<<start>>[^\s'\"\x1e]*['\"`][\s)]*(?:--|#|/\*|(?:(?:or|and|xor|having|order\s+by|group\s+by|limit|union|like|rlike|in|between|procedure)\b|\|\||&&|;)[^\x1e]*(?:--|#\s*<<end>>|/\*))[\s\w+-]{0,4}<<end>>", "a closed string, and the rest cut off at the end"),
    (r"['\"`)][\s)]*(?:or|and|xor|\|\||&&|having|where)[\s(!~+-]*[\w.]+\([^\x1e]*(?:--|#|/\*|['\"]\s*=\s*['\"]|=\s*['\"(]?\w*<<end>>)", "a call in a condition behind a closed value"),
    (r"(?:<<start>>-?\w{0,8}|['\")])[\s)]*(?:order|group)\s+by\s+\(?\s*\d+(?:\s*,\s*\d+)*\s*(?:--|#|/\*)|<<start>>-?\d+['\")\s]+order\s+by\s+\d+\s*<<end>>", "columns counted by number, then a comment"),
    (r"\bcase\s+when\s*(?:[('\"\d]|\w+\s*[=<>(])[^\x1e]+\bthen\b", "a condition that answers by an effect"),
    (r"\bif\(\s*(?:\d+\s*=\s*\d+|substr\w*\(|ascii\(|ord\(|mid\(|length\(|user\(|database\(|benchmark|sleep|\(\s*select)", "a condition that answers by an effect"),
    (r"(?:null\s*,\s*){2,}[^\x1e]*(?:--|#|from\b|/\*)|select\s+null", "columns padded with null in a query"),
    (r"\blimit\s+\d+\s*(?:,\s*\d+|offset\s+\d+)\s*(?:--|#|/\*|union|into)", "a page of a query, then its end"),
    (r"'\s*\|\|\s*\(?\s*(?:select\b|case\s+when|chr\s*\(|sleep|[\w.]+\()|['\")\d]\s*(?:\|\||\+)\s*\(+\s*select\b", "a concatenated query"),
)

_SQL_HINTS = (
    (r"['\"`)]\s*(?:or|and|xor|\|\||&&)[\s('\"!~+-]*\w+['\")\s]*(?:=|<|>)[\s('\"]*\w+['\")\s]*(?:--|#|/\*|;|<<end>>)", "a closed string, a tautology and the rest cut off"),
    (r"\bxp_(?:cmdshell|reg\w+|dirtree|fileexist|servicecontrol|availablemedia|enumdsn)", "SQL Server procedures that reach the system"),
    (r"union[\s(+]+(?:(?:all|distinct)[\s(+]*)?select\b", "a second query joined to the first"),
    (r"(?:['\")\d]|--|#)\s*\bunion\b\s*(?:all\b|distinct\b|--|#|/\*|\(|<<end>>)", "a second query, cut or split"),
    (r"\bselect\b[\s(+]*(?:\*|@|'|\"|`|\(|null\b|distinct\b|top\s+\d|\d+\s*[,)]|\d+\s*from|[\w.]+\s*\(|count\b|case\b|char\b|if\b|sleep\b)[^\x1e]*\bfrom\b", "a select list of values, functions or calls"),
    (r"\bselect\b[\s(+]*(?:@@?\w+|\*\s*from\b|[\w.]+\s*\([^)\x1e]*\)\s*(?:--|#|;|\)|,|<<end>>)|0x[0-9a-f]{4,}|\d+\s*(?:,|--|#|\)))|\bselect\w*\s+\w+\(|\bselect\s+['\"][^'\"\x1e]*['\"]\s*(?:,|from\b|as\b|into\b|union\b|--|#|;|<<end>>)", "a select of a variable, call or literal"),
    (r"\bselect\b[^\x1e]+\bfrom\b\s*[\s(]<<sql_table>>\s*(?:where\b|limit\s+\d|order\s+by|group\s+by|union\b|having\b|;|--|#|\)|,|inner\b|left\b|join\b)", "a query with a clause or an end"),
    (r"\(\s*select\b[\s(*\w@'\"]", "a subquery"),
    (r"\binsert\s+into\s+<<sql_table>>\s*(?:\(|values|select|default)", "a row added"),
    (r"\bupdate\s+<<sql_table>>\s+set\s+<<sql_table>>\s*=", "rows changed"),
    (r"\bdelete\s+from\s+<<sql_table>>\s*(?:where\b|;|--|#|<<end>>)", "rows deleted"),
    (r"(?:;|<<start>>|/|['\")])\s*(?:drop|alter|create|truncate)\s+(?:or\s+replace\s+)?(?:temp\w*\s+)?(?:table|database|view|index|procedure|function|schema|user|login|trigger|role|tablespace|sequence)\s+(?:if\s+(?:not\s+)?exists\s+)?<<sql_table>>", "schema changed"),
    (r"\b(?:drop|truncate)\s+table\s+<<sql_table>>\s*(?:;|--|#|<<end>>|cascade)", "a table dropped"),
    (r"[;'\")\d]\s*(?:select\s+[\w*@('\"]+|insert\s+into|update\s+\w+\s+set|delete\s+from|exec(?:ute)?\s*(?:\(|master|sp_|xp_|immediate|@|\w+\.\.)|declare\s+[@\w]+\s+\w+|shutdown\b\s*(?:--|;|with|<<end>>)|waitfor\b|merge\s+using|prepare\s+\w+\s+from|backup\s+database|handler\s+\w+\s+open|copy\s+\w+\s+from|set\s+@\w+\s*=|if\s*\(?\s*\d+\s*=|begin\s+declare|grant\s+\w+\s+(?:on|to)|desc\s+\w+\s*(?:;|--|#))", "a statement stacked behind the first"),
    (r"\b<<sql_function>>\(\s*[^)\s]", "a function that queries of users never hold"),
    (r"(?:[,('\"=+|&;]|<<start>>|\b(?:or|and|select|by|then|when|if)\b)\s*(?:database|user|version|sleep|pi|current_user|schema|connection_id|found_rows|row_count|utc_date|rand|now|schema_name|session_user|system_user|last_insert_id)\s*\(\s*(?:\)|\d|<<end>>)", "a call of the server about itself"),
    (r"\b(?:concat|substr|substring|mid|ord|hex|char|char_length|length|convert|cast|ascii|count|lower|upper|reverse|lpad|rpad|replace|md5|sha1|instr|locate|position|trim|coalesce|greatest|least|floor|rand|if|mod|log|exp|abs|sin|bin|strcmp|find_in_set|field|overlay|translate)\s*\(\s*(?:\(|select\b|@@|0x[0-9a-f]|password|passwd|login|user\b|username|version|database|table_|column_|schema_|\w+\s*\(|'[^'\x1e]*'\s*[,)]\s*|\d+\s*,\s*\d+\s*[,)]|\d+\s*\)\s*(?:\+|\|\||,|=|--|#|from|\))|\*\s*\)\s*(?:from|,|>|=|--))", "string and number functions over the schema or over literals"),
    (r"\b(?:information_schema|sysobjects|syscolumns|sysusers|sys\.(?:tables|databases|objects|user\$?|schemas|columns|all_\w+|dba_\w+)|pg_(?:catalog|tables|user|shadow|group|class|database|proc|roles)\b|sqlite_(?:master|schema|temp_master)|all_(?:tables|tab_columns|users)|user_(?:tables|tab_columns|objects|constraints)|dba_(?:users|role_privs|tables)|sysibm\.|syscat\.|msysobjects|msysaces|mysql\.(?:user|db)\b|domain\.(?:domains|tables|columns)|v\$version|rdb\$\w+|northwind|tempdb|msdasql|sqloledb|db_name)", "catalogue tables"),
    (r"@@(?:version|hostname|datadir|basedir|servername|global|session|user|language|spid|project_id|\w+)", "server variables"),
    (r"(?:['\"`)%]|<<start>>-?[\d.]*)[\s)]*(?:or|and|xor|having|where|\|\||&&)[\s('\"!~+-]*(?:not\s+)?[\w.@$]+['\"`)\s]*<<sql_compare>>[\s('\"%+-]*[\w@*(]", "a condition added to the query"),
    (r"\b(?:or|and|having|where)[\s('\"+!-]+(?:\d+|null|true|false|'[^'\x1e]*'|\"[^\"\x1e]*\"|\w)['\")\s]*(?:=|<>|<|>|!=|\blike\b|\brlike\b|\bis\b|\bin\s*\(|\bbetween\b)[\s('\"+-]*(?:\d|'|\"|null|true|@|\w['\")\s]*(?:--|#|/\*|<<end>>))", "a comparison of constants"),
    (r"['\"][\s)]*(?:or|and|xor|\|\||&&|div|mod|like|rlike|regexp|glob|sounds\s+like|collate|notnull|isnull|is\s+(?:not\s+)?null|not\s+(?:like|glob|in|null|between)|between|in|having|group\s+by|order\s+by|limit|offset|procedure|into|where|as|match|escape|not)[\s('\"`!~+@*-]*[\w.()'\"`,\s=-]*(?:--[\s+\x1e-]|#\W*\x1e|/\*|\x00)", "a closed string, a clause and a comment"),
    (r"<<start>>[^\x1e]*['\"`][\s);]*(?:--|#|/\*|;\x00)[\s\w+-]{0,12}<<end>>", "a closed string with the rest cut off"),
    (r"<<start>>['\"`)\s\d.%-]*(?:\b(?:or|and|xor|having)\b|\|\||&&)[\s('\"`!~]*[\w.'\"()@]*\s*(?:!?=|<|>|\blike\b|\bis\s+(?:not\s+)?null|\bin\s*\(|\bsleep\b)", "a value that is a bare condition"),
    (r"<<start>>(?:where\s+\w+\s*(?:=|like\b)|(?:not\s+)?exists\s*\(|in\s*\(|/\*|--\s+-)", "a value that is a clause or a comment"),
    (r"<<start>>[^\s\x1e]{0,12}'[\s)]*(?:or|and|xor|\|\||&&)[\s(]*(?:exists|not|true|false|\d+|\('|'\w{0,8}'?)[\s)']*<<end>>|<<start>>[\w]{0,12}[\"'][\s)]*(?:or|and)[\s(]*\(?(?:exists|true|false|\d+)[\s)]*<<end>>", "a closed string and a truth"),
    (r"'\s*\|\|[^\x1e]*\|\|\s*'|['\")\d]\s*(?:\|\||\+)\s*\(?\s*(?:select\b|if\s*\(|case\s+when|char\s*\(|chr\s*\(|sleep|benchmark|waitfor|'[^'\x1e]*'\s*\|\|)", "a concatenated query"),
    (r"\b(?:order|group)\s+by\s+\(?\s*\d+(?:\s*,\s*\d+)*\s*(?:--|#|/\*|;|,|\)|<<end>>|\+|asc|desc)", "columns counted by number"),
    (r"\bgroup\s+by\s+[\w.,\s()]+(?:having\b|--|#|limit\s+\d|union\b)", "a grouping with a condition"),
    (r"\bhaving\s+(?:\d+\s*[=<>]|count\s*\(|min\s*\(|max\s*\(|['\"])", "a condition on a group"),
    (r"\blimit\s+\d+\s*(?:,\s*\d+|offset\s+\d+)\s*(?:--|#|/\*|;|\)|union|into|<<end>>)", "a page of a query, then its end"),
    (r"\bcase\s+when\b[^\x1e]+\bthen\b", "a condition that answers by an effect"),
    (r"\bif\s*\(\s*(?:\d+|substr\w*|ascii|ord|mid|length|user|database|benchmark|sleep|\()\s*[=(<>,]", "a condition that answers by an effect"),
    (r"(?:null\s*,\s*){2,}|(?:,\s*null\s*){2,}", "columns padded with null"),
    (r"\bin\s*\(\s*\d+\s*,\s*\d+\s*\)|\bin\s*\(\s*select\b", "membership in a list of numbers"),
    (r"<<start>>['\"`]+\s*(?:(?:;|--|#|/\*|\)\s*(?:--|#|;))[^\w\x1e]*<<end>>|<<end>>)", "a quotation mark alone, to break the query"),
    (r"\b(?:is|not)\s+null\s*(?:or|and|--|#|/\*)|\bnot\s+null\s+primary", "a null test in a chain"),
    (r"`\s+(?:as|from|where|set|join|on)\s+`|`\.`", "quoted identifiers of a query"),
    (r"\b(?:collate|glob|rlike|sounds\s+like|regexp)\b\s*['\"`(]", "operators of SQL dialects"),
)

_XSS_PROOFS = (
    (r"<\s*script[^>\x1e]*>[^<\x1e]*(?:alert|prompt|confirm|eval|document\.|String\.fromCharCode)[\s(.`]", "a script that shows itself"),
    (r"<[^<>\x1e]*[\s/'\"]<<event>>\s*=\s*['\"`]?\s*(?:[^\s>\x1e]*)(?:alert|prompt|confirm|eval|javascript:|document\.cookie)", "an event handler that runs code"),
    (r"(?:src|href|action|data|content|background|lowsrc|dynsrc|url)\s*[=(]\s*['\"`]?\s*(?:javascript|vbscript|livescript)\s*:", "a script as an address"),
)

_XSS_SIGNS = (
    (r"<[^<>\x1e]*[\s/'\"`\x00+;]<<event>>\s*=", "an element with an event handler"),
    (r"&#(?:0*60|0*62|x0*3[ce])\b|(?:&#x?[0-9a-f]{2,8};?){5,}", "markup as numbers"),
    (r"<(?:svg|math|meta|link|base|style|body|form|input|textarea|video|audio|source|details|xml|set|animate\w*|use|template)[\s/]+[^<>\x1e]*(?:src|href|style|action|formaction|xlink|autofocus|http-equiv|data|background|content|type|code|folder|poster|srcdoc|from|to|values)\s*=", "an element that loads something"),
    (r"\[\s*(?:\]|!\[\]|\+\[\])[\s+!\[\]()]{8,}", "JavaScript without letters"),
    (r"<\s*!\s*(?:\[\s*cdata\s*\[|--\s*\[\s*if|--[^>]*-->\s*<)|<\?(?:import|xml:namespace|xml-stylesheet)|--!?>\s*<|]]>", "comments and sections that change how the rest is read"),
    (r"</?(?:script|iframe|object|embed|applet|frameset|bgsound|isindex|xss|marquee|foreignobject|feimage|noembed|ilayer)(?:[\s/>'\"=(+<]|<<end>>)", "an element that runs or loads something"),
    (r"\b<<event>>\s*=\s*['\"`]?[\w.\[\]]+[(`]", "an event handler that calls"),
    (r"['\"`>;/]\s*<<event>>=['\"`(\w{/]\S", "an event handler behind a closed attribute"),
    (r"(?:j\s*a\s*v\s*a|v\s*b|l\s*i\s*v\s*e)\s*s\s*c\s*r\s*i\s*p\s*t\s*:\s*(?:[/'\"`(%!+~{\[]|\w+[(`=\[]|\w+\.\w)", "a script as an address, and its code"),
    (r"data\s*:[^,\s\x1e]*(?:text/html|image/svg|script|base64)[^,\s\x1e]*,\S", "a document inside an address"),
    (r"['\"`]\s*/?>+\s*</?<<tag>>[\s/>]", "markup behind a closed attribute"),
    (r"\b(?:alert|prompt|confirm)(?:\(\s*(?:\d+|['\"`/]|document|this\.|self|location|string\.|xss)|`[^`\x1e]*`|&lpar;|\\u0028)|\beval\((?:['\"`]|\w+\.|\w+\()", "a dialog opened"),
    (r"['\"`;/+*-]\s*(?:alert|prompt|confirm|eval)\(|\b(?:alert|prompt|confirm)\(\w*\)\s*[;/<>'\"`+*-]", "a dialog behind a closed string"),
    (r"\bdocument\.cookie\s*[)+;&'\"]|\b(?:document|window|self|top|parent|frames|globalThis|this)\[\s*['\"`/(+!]|\bdocument\.(?:write(?:ln)?|createElement|getElement\w*|querySelector\w*|execCommand)\(|\blocation(?:\.href)?=\s*['\"`\w]|\blocation\.(?:replace|assign)\(", "the document read or steered"),
    (r"\bString\.fromCharCode\(\s*\d|\bunescape\(\s*['\"`]|\.constructor\s*[(\[]|\binnerHTML\s*\+?=|\bReflect\.\w+\(", "JavaScript of evasions"),
    (r"<\w+[^<>\x1e]*<(?:script|img|svg|iframe)|<\w+[^<>\x1e]*\bstyle\s*=\s*['\"]?[^'\">\x1e]*(?:expression|url\s*\(|behavior)|(?:behaviou?r|-moz-binding)\s*:\s*url\(", "markup with a script in its style, or broken"),
    (r"\bimport\(\s*['\"`/]|\bthrow\s+onerror|\bonerror=(?:eval|alert)\b|__defineSetter__|\bwith\((?:document|location|window)", "JavaScript of evasions"),
)

_XSS_HINTS = (
    (r"<\s*/?\s*(?:script|iframe|object|embed|applet|frameset|frame|bgsound|isindex|xss|marquee|foreignobject|feimage|xmp|plaintext|noembed|keygen|layer|ilayer)(?:[\s/>'\"=(+<]|<<end>>)", "an element that runs or loads something"),
    (r"(?:['\"`>;/]|<<start>>)\s*<<event>>\s*=\s*['\"`(\w{/]", "an event handler behind a closed attribute"),
    (r"\b<<event>>\s*=\s*['\"`]?\s*[\w.\[\]'\"]+\s*[(`=]", "an event handler that calls"),
    (r"(?:j\s*a\s*v\s*a|v\s*b|l\s*i\s*v\s*e)\s*s\s*c\s*r\s*i\s*p\s*t\s*:", "a script as an address, blanks inside allowed"),
    (r"data\s*:\s*[^,\s\x1e]*(?:text/html|image/svg|script|base64)[^,\x1e]*,", "a document inside an address"),
    (r"(?:['\"`][^\x1e\s\w]{0,3}|<<start>>)\s*-*>*\s*</?\s*<<tag>>(?:[\s/>\"'=+]|<<end>>)", "markup at the start of a value or behind a closed attribute"),
    (r"\b(?:eval|alert|prompt|confirm)\s*\(\s*[\w.]+\s*\)[;/\s]*<<end>>", "a dialog or evaluator at the end"),
    (r"(?:;|=|\(|\{|}|,|['\"`/>+*!]|<<start>>|\b(?:javascript|return|throw|void)\b)\s*(?:\w+\.)?<<dialog>>\s*(?:\(|`|\?\.|\.(?:call|apply|bind|source)|\[)", "a call of a dialog or an evaluator"),
    (r"\b(?:alert|prompt|confirm)\s*(?:\(\s*(?:\d+|['\"`/)]|document|this|self|location|string|xss|\w+\)\s*(?:[;/<>'\"]|<<end>>))|`|&lpar;|\\u0028)", "a dialog opened"),
    (r"\b(?:document|window|self|top|parent|frames|globalThis|this|location|opener)\s*(?:\.\s*(?:cookie|domain|write(?:ln)?|location|body|documentelement|createelement|getelement\w*|queryselector\w*|domain|referrer|url|head|forms|images|scripts|localstorage|onerror|name|execcommand|implementation|defaultview|innerhtml|href|hash|replace|assign)\b|\[\s*['\"`/(+!\w])", "the document read or steered"),
    (r"\bString\.fromCharCode\s*\(|\bunescape\s*\(|\bdecodeURI\w*\s*\(|\binnerHTML\b|\bouterHTML\b|\binsertAdjacentHTML\b|\.constructor\s*[(\[.]|\bReflect\.|\.source\b\s*[)+]|\bXMLHttpRequest\b|\bpostMessage\s*\(", "JavaScript of evasions"),
    (r"(?:behaviou?r|-moz-binding)\s*:\s*url\s*\(|@import[\s'\"(]*(?:url|http|//)|expression\s*\([^)\x1e]*\(", "script or load by style sheet"),
    (r"(?:eval|alert|prompt|confirm|open|write)\s*[=)\],;]\s*[\w\"'(]{0,12}[;,=(]|=\s*(?:eval|alert|prompt|confirm)\b", "a dialog or evaluator passed on"),
    (r"<<start>>[^\x1e]*(?:/|\\x3[ce]|\\u003[ce]|%3c)\s*script\b", "a script element half encoded"),
    (r"<\w+[^<>\x1e]*<(?:script|img|svg|iframe)|<<start>>[<>'\"/\\]*['\"][<>'\"/\\]*[<>]|\bstyle\s*=\s*['\"]?[^'\">\x1e]*(?:expression|url\s*\(|behavior|animation-name)", "malformed markup"),
    (r"\bwith\s*\(\s*(?:document|location|window)|\bimport\s*\(\s*['\"`/]|\bthrow\s+(?:onerror|new)?\s*[^;\x1e]*(?:onerror|alert|prompt)|\bsetter\s*=|\b__defineSetter__|\bvalueOf\s*[:=]|\btoString\s*[:=]\s*\w+|\bgetElementsByTagName\b", "JavaScript of evasions"),
)

_TRAVERSAL_PROOFS = (
    (r"(?:[/\\]\.{1,2}[/\\]+\.{0,2}){3,}", "steps that go nowhere, to hide a path"),
    (r"(?:\.\.[/\\]+){3,}|(?:\.\.[/\\]+){2}[^\x1e\s]*<<sensitive_file>>", "several steps up in a row, or to a file of the system"),
)

_TRAVERSAL_SIGNS = (
    (r"(?:\.\.[/\\]+){2,}", "two steps up in a row"),
    (r"\x1f[\w./\\:~-]+\x00|\x00\.?\w{0,5}<<end>>", "a null byte that cuts a path"),
    (r"(?:passwd|boot\.ini|win\.ini|hosts)\s*(?:\x00|%00|\.(?:jpe?g|html?|php|txt|png|gif)\b)", "a file of the system with a false ending"),
    (r"(?:^|[/\\])(?:\.\\|\\\.){1,}[./\\]{0,10}[\w./\\]*(?:etc|boot|win)", "mixed slashes before a file of the system"),
    (r"/tmp/sess_\w{8,}|\bsess_[a-z0-9]{16,}", "a PHP session file"),  # noqa: S108
    (r"\.\.[/\\][^\x1e\s]*<<sensitive_file>>|[/\\]\.\.;[/\\]", "a step up to a file of the system"),
    (r"\x1f\s*[^\s\x1e]*(?:[/\\]|%)etc[/\\]+(?:passwd|shadow|group|sudoers|master\.passwd)|[/\\]proc[/\\]+(?:self|\d+)[/\\]\w|\x1f[^\s\x1e]*\b(?:boot|win|system)\.ini\b|windows[/\\]+system32[/\\]|[/\\](?:web-inf|meta-inf)[/\\]|[/\\]\.(?:git|svn|aws|ssh)[/\\]\w|[/\\]\.ht(?:access|passwd)|[/\\]\.env\b|[/\\.]wp-config\.php", "a file of the system that attackers read first"),
    (r"\x1f\s*(?:php|phar|zip|glob|zlib|compress\.\w+|expect|ogg|rar|ssh2)://", "a stream wrapper instead of a file name"),
    (r"\.\.(?:%[0-9a-z]{1,4}|\x00|0x2f|0x5c|%%|\xef\xbf\xbd)+(?:\.\.|etc|boot|win|var|proc|\w+\.\w+)|(?:0x2e|0x5c|0x2f|%2e|\.%00){2,}[/\\.%?0-9a-zA-Z]*(?:etc|boot\.ini|windows|passwd|system32|win\.ini)|(?:\.\.(?:2f|5c|%u[0-9a-f]{4}|0x2f|0x5c)){2,}|2fetc2f|(?:[\xc0\xc1\xf8]|\xe0\x80|\xf0\x80)[^\x1e\s]*(?:etc|boot\.ini|win\.ini|passwd|windows)|(?:\.\.|\?\?)[\x01-\x1d\x80-\xff%?][^\x1e\s]*(?:etc[^\x1e\s]{1,12}(?:passwd|shadow|issue|hosts)|boot\.ini|win\.ini)", "a step up in a broken encoding"),
)

_TRAVERSAL_HINTS = (
    (r"<<start>>[^\x1e\s]*\.\.[/\\]", "a value that steps up"),
    (r"[/\\]\.\.(?:[/\\;]|<<end>>)", "a step up inside a path"),
    (r"(?:\.{2,}[^\w\s.,!?)\]'\"*|>=-]{1,8}){2,}\.{0,3}[\w]", "steps up with an unusual separator"),
    (r"\.\.(?:%[0-9a-z]{1,4}|\x00|\\x|0x2f|0x5c|%%|\xef\xbf\xbd|[\x80-\xff]{1,6}|[/\\]{2,})+(?:\.\.|etc|boot|win|var|proc|\w+\.\w+)", "a step up in a broken encoding"),
    (r"(?:\?\?|\.\?|[\x80-\xff]{2,4}|%u[0-9a-f]{4}|0x2e|0x5c|0x2f|\.%00|%2e){2,}[/\\.%\x80-\xff?0-9a-zA-Z]*(?:etc|boot\.ini|windows|passwd|system32|win\.ini)", "a path in a broken encoding"),
    (r"[%?\x80-\xff][^\x1e\s]*(?:etc[^\x1e\s]*(?:passwd|shadow|issue|hosts|group)|boot\.ini|win\.ini|system32)|(?:\.\.(?:2f|5c|%u[0-9a-f]{4}|0x2f|0x5c)){2,}|\.\.\\?%u[0-9a-f]{4}|2fetc2f|master\.passwd", "a file of the system behind a broken encoding"),
    (r"(?:[/\\]|<<start>>|[a-z]:|=|['\"(:]|\s|\x00|\.\.|\xbd|\*)<<sensitive_file>>", "a file of the system"),
    (r"\x1f\s*(?:/(?:etc|var|usr|proc|root|opt|boot|sys|private|bin|sbin|lib|dev|apache\w*|xampp|logs?|php\d?|mysql|volumes|web|program files|windows|winnt|\.\w+)(?:[/\\]|<<end>>)|[a-z]:[/\\]|\\\\[\w.]+\\\w)", "a value that is an absolute path"),
    (r"\x1f\s*(?:file|php|phar|zip|glob|zlib|compress\.\w+|expect|ogg|rar|ssh2|data)://", "a stream wrapper instead of a file name"),
)

_COMMAND_PROOFS = (
    (r"(?:<<start>>|')\(\)[\s.]*\{|\(\)\s*\{\s*(?:[:_0]\s*;|;)", "a shell function in a header (Shellshock)"),
    (r"\$\{?IFS\b|/dev/(?:tcp|udp)/\d|\bbash\s+-i\b|\bnc\b[^\x1e]*\s-e\s|\bmkfifo\b[^\x1e]*\|", "a shell made reachable"),
    (r"[;|&`]\s*(?:/\w+)*/?(?:cat|ls|less|more|tail|head|type|curl|wget|rm|cp)\s+[^\x1e\s]*<<sensitive_file>>", "a command on a file of the system"),
)

_COMMAND_SIGNS = (
    (r"\$\((?:\(\s*\d|\s*<|\s*(?:<<command>>|<<word_command>>)\b|\w+\s+[-/$'\"])|\$\[[\d\s+*/-]*\]", "a command substitution"),
    (r"\b(?:cmd(?:\.exe)?\s*/[ckr]|powershell(?:\.exe)?\s+-|certutil\s+-|bitsadmin\s+/|wscript|cscript|rundll32|regsvr32|mshta|schtasks\s+/|wmic\s+\w)", "a command of Windows"),
    (r"%(?:comspec|systemroot|windir|temp|appdata|programfiles)(?:%|:)|\$env:|%[a-z]+:~\d", "a variable of a Windows shell"),
    (r":\s*\(\)\s*\{|[\w.]\(\)\s*\{[^}\x1e]*[|&][^}\x1e]*&?\s*\}\s*;", "a fork bomb"),
    (r"[;\n]\s*\.(?:sh|sy|system|shell|read|import|dump|databases|tables|schema|quit|load|open|output)\b", "a dot command of sqlite"),
    (r"(?:[;|{]|&&|&\S?|\\n|\$\()\s*\(?['\"]?<<probe>>", "a separator and a command that is no word"),
    (r"(?:[;|]|&&|\$\()\s*['\"]?(?:/?(?:usr/)?s?bin/)?(?:<<command>>|<<word_command>>)\s+(?:-\w+\s+)?(?:/\w+/|[~$]\S|\.\.?/|\w:\\)", "a separator, a command and a path"),
    (r"\$\(\s*(?:<<command>>|<<word_command>>)(?:\s|\))|[;|&=$]`[^`\x1e]+`|\$\(\(\s*\d|\$\(\s*<", "a command substitution"),
    (r"\{(?:<<command>>|<<word_command>>),[^\s,}]*|/[\w?*\[\]]{0,6}[?*\[][\w?*\[\]]{0,6}/[\w?*\[\]]{1,12}|/bi\[n\]", "a command in brace expansion or wildcards"),
    (r"(?:[;|&`]|<<start>>)/(?:usr/)?s?bin/\w[\w?*]*(?:\s|[;|&?*\[`\\])", "a program of the system"),
    (r"\|\s*(?:ba|z|k)sh\b|[;|&][^\x1e]*(?:2>&1|>\s*/dev/)|\|\|\s*<<probe>>|[;|&\n]\s*id\s*(?:[;|`]|<<end>>)", "a command line behind a separator"),
    (r"\$\{[a-z_]{1,20}(?::\d|[%#:/^,])|\$[@*]/|\$\{!\w|\$'\\\w|\w\$[@*!]\w|\w\$\{?[a-z\d]\}?[\w/]*\s+/etc", "a parameter expansion"),
    (r"[;\n&|]\s*(?:ping|sleep)\s+(?:-\w+\s+)?\d+\s*(?:[;|&`#]|<<end>>)|\bping\s+-[cn]\s+\d+\s+\d", "a blind probe"),
)

_COMMAND_HINTS = (
    (r"(?:[;|{\n]|&&|&\S?|\\n|\$\()\s*\(?['\"]?<<command>>(?:[\s;|&`<>)'\"$,}{+-]|\x1e)", "a separator and a command"),
    (r"(?:[;|{\n]|&&?|\\n|\$\()\s*\(?['\"]?(?:<<word_command>>|<<command>>)<<argument>>", "a separator and a command with arguments"),
    (r"[;|&`]id(?:[;|&`\s\\)]|\x1e)|[|&`(]\s*id\s*(?:[;|&`)\\]|\x1e)|<<start>>(?:whoami|id|ls|pwd|uname|ifconfig|env)\s*[;|&\n]", "the probes that every tool sends first"),
    (r"[;|&][a-z][\w.-]{1,15}\s+--?[a-z]", "a separator and something with an option"),
    (r"<<start>>[`'\")(|;&\s$<>{]*<<command>>\s+(?:-{1,2}\w|[/~$\"'`.*>|;&]|\d|https?:|[\w.-]+[/.\\]|\w:\\)", "a value that is a command line"),
    (r"<<start>>[`'\")(|;&$<>{\s]*<<word_command>>\s+(?:-{1,2}\w|/\w|\\|\.\.?/|>|[|;&]\s*\w|\w:\\)", "a value that is a command line"),
    (r"<<start>>[^`\x1e\s]*`[^`\x1e]+`[^\w\s]{0,4}<<end>>|(?:<<start>>|[;|&='\"/$.]|\w)`\s*<<command>>|[;|&=]\s*`\s*\w+[^`\x1e]*`\s*[;|&]", "a command substitution"),
    (r"[{,](?:<<command>>|<<word_command>>),|\{,\w+|[a-z]\{[a-z]*,[a-z]+\}", "a command in brace expansion"),
    (r"(?:<<start>>|[;|&`=]|\\n)/(?:s?bin|usr|etc|dev|tmp)/[\w.*?\[\]/-]*(?:\s+[-/]|[;|&?*\[`\\]|\x1e)|/[\w?*\[\]]{0,6}[?*\[][\w?*\[\]]{0,6}/[\w?*\[\]]{1,12}|/[be][\w?*\[\]]{0,4}[?*\]]/\w|/bi\[n\]", "a path of the system, or one with wildcards"),
    (r"\b(?:rm\s+-[rf]{1,2}\s|chmod\s+(?:[0-7]{3,4}|[ugoa]*\+[rwxs])|wget\s+(?:-\w+\s+)*(?:https?:|ftp:|/)|curl\s+(?:-\w+\s+)*(?:https?:|ftp:|/|\w+\.\w)|nc\s+-[a-z]|(?:ba|[zkc]|da)?sh\s+-c\s)|\|\s*(?:ba|z|k|c)?sh\b|2>&1|>\s*/dev/", "a command line"),
    (r"\$(?:[@*#!?-]|\{?\d\}?|[a-z]\d?)/|\$\{?[a-z_]{1,20}(?::\d|[%#:/^,]|\[)|\$\{!\w|\$'\\\w", "a parameter expansion"),
    (r"<\(\s*\w+|>\(\s*\w+|<<<\s*['\"$\w]|\|\|\s*<<command>>", "a process substitution or a here string"),
    (r"\b(?:time|env|nice|nohup|timeout|xargs|sudo|exec|busybox|ionice|setsid|stdbuf|unbuffer|strace)\s+(?:-\S+\s+|\d+\s+)?(?:whoami|uname|ifconfig|ba?sh|sh|cat|ls|nc|wget|curl|perl|python)\b", "a command run by another"),
    (r"-wrapper\s+\w+,|--checkpoint-action|--use-compress-program|-exec\s+\w|-o\s*proxycommand|--to-command|--rsh=|-e\s+['\"](?:sh|bash|exec|system|print)", "options that run a command"),
    (r"\bping\s+(?:-[cni]\s+)?\d+|\bsleep\s+\d|\bfind\s+/\s|\bnetstat\s+-", "commands of blind probes"),
)

_CODE_PROOFS = (
    (r"\$\{[^}\x1e]*(?:jndi|lower:|upper:|env:\w*:?-|sys:\w*:?-|::-|date:'|ctx:|main:|k8s:|docker:)[^\x1e]*[:}]|\$\{:-|\$\{[^}\x1e]*\$\{[a-z:]*:", "a Log4j lookup"),
    (r"__proto__\s*(?:[\[.\"']|\]|%5b|:)|constructor\s*(?:\.|\[|\]\[|%5b)\s*['\"]?prototype", "a prototype polluted"),
    (r"\b(?:runtime\.getruntime|java\.lang\.(?:runtime|processbuilder|system|class|thread)|processbuilder\s*\(|getruntime\s*\(\)|class\.module\.classloader|javax\.script|scriptenginemanager|ognl\.|#_memberaccess|#context\[|com\.opensymphony|org\.apache\.commons\.\w+\.functors)", "Java that reaches the system"),
    (r"<!--\s*#\s*(?:exec|include|echo|config|fsize|flastmod|printenv|set|if)\b", "a server-side include"),
    (r"<\?(?:php\b|=)[^\x1e]*(?:\$_(?:get|post|request|cookie|server)|system|eval|exec|passthru|assert|shell_exec)", "PHP that runs what it is sent"),
)

_CODE_SIGNS = (
    (r"\$_(?:get|post|request|cookie|server|files|session|env|globals)\b|\$globals\b|\$http_raw_post_data|php://(?:input|filter|stdin|memory|temp)|\bphar://|\bexpect://|\bglobals\s*\[", "variables and streams of PHP"),
    (r"(?:rO0ABQ|KztAAU|Cs7QAF|rO0ABX|aced0005)|\xac\xed\x00\x05|\bO:\d+:\"\w+\":\d+:\{|\ba:\d+:\{[si]:\d+", "a serialised object"),
    (r"(?:^|[\x1f\x1e\[.'\"/])(?:__proto__|constructor\.prototype|prototype\.constructor)\b", "a prototype polluted"),
    (r"<\?(?:php\b|=)|<%[=@!]|\[php\]", "a block of server-side code"),
    (r"\b(?:system|exec|shell_exec|passthru|popen|proc_open|pcntl_exec|eval|assert|base64_decode|gzinflate|file_get_contents|file_put_contents|create_function|call_user_func\w*|execsync|spawnsync|__import__|execfile|instance_eval|highlight_file|show_source|scandir|var_dump|unserialize|print_r)\(\s*(?:['\"`$@]|\w+\s*[,(\[]|/)|\bphpinfo\(\s*\)", "a call of an evaluator or of the system"),
    (r"\$\{?@?[a-z_]\w*\}?(?:\[[^\]]*\])*\(\s*(?:\)|'|\"|\$)|\(\s*\[?\s*['\"](?:system|exec|phpinfo|passthru|assert|eval)['\"]\s*\]?\s*\)", "a call of a function named by a variable"),
    (r"\brequire\(\s*['\"`](?:child_process|fs|os|net|https?|vm|util|process)['\"`]|\bprocess\.(?:mainModule|binding|dlopen)\b|\bprocess\.(?:exit|kill|cwd)\(|\bglobal\.process|require\.main|_\$\$nd_func", "Node code that reaches the system"),
    (r"__(?:import|class|mro|base|bases|subclasses|globals|builtins|init|getattribute|reduce)__\s*[.(\[\])}|]|\bos\.(?:system|popen|exec\w*|spawn\w*)\(|\bsubprocess\.\w+\(|\bpickle\.loads?\(", "Python that reaches the system"),
    (r"\bjava\.(?:lang|io|util|net|nio)\.\w+|\bt\(java\.|\bgetclass\(\)|\.forname\(|\.getmethod\(|\.newinstance\(|\b(?:invoker|clone|instantiate|prototype\w*)(?:transformer|factory)\b|new\s+java\.|freemarker\.template|bsh\.interpreter|\bclassloader\b\s*[.\]]", "Java that reaches the system or its classes"),
    (r"@\{\s*\[|\b(?:Kernel|IO|File|Dir|Open3|PTY|Process)\.(?:popen|open|read|system|exec|spawn|capture\w*|glob|entries|clock)\(|\bCORE::|%x\[|\bperl\s+-e\b", "Perl or Ruby that reaches the system"),
    (r"\b(?:allow_url_(?:include|fopen)|auto_(?:prepend|append)_file|disable_functions|open_basedir|safe_mode|suhosin\.\w+|opcache\.\w+|session\.(?:save_path|auto_start|upload_progress)\S*|cgi\.force_redirect)\s*=", "a setting of PHP"),
    (r"\.(?:php\d?|phtml|phar|jspx?|aspx?|cgi)(?:\.\w{1,4}|;\.\w+|\x00|%00)\x1e", "a file name that a server runs, in disguise"),
)

_CODE_HINTS = (
    (r"<\?(?:php\b|=|\s)|<%[=@!\s]|\[php\]|[;)}\s]\?>", "a block of server-side code"),
    (r"\"\s*&\s*\"\w*\"\s*&\s*\"|\bserver\.(?:createobject|mappath|scripttimeout)|\bresponse\.write\b|\bwscript\.shell\b|\bexecute\s*\(\s*(?:request|\")", "ASP code"),
    (r"(?:[;=(,'\"`@!{.|&?]|<<start>>|\bprint\b|\breturn\b|\bdie\b|\\)\s*@?(?:system|exec|shell_exec|passthru|popen|proc_open|pcntl_exec|eval|assert|phpinfo|base64_decode|gzinflate|str_rot13|file_get_contents|file_put_contents|fopen|readfile|include|require|include_once|require_once|create_function|call_user_func\w*|array_map|preg_replace|unserialize|highlight_file|show_source|scandir|ini_set|putenv|extract|parse_str|chr|var_dump|print_r|move_uploaded_file|curl_exec|execsync|spawn|spawnsync|fork|__import__|globals|execfile|instance_eval|syscall|die|exit|set_time_limit|session_start|usleep)\s*(?:/\*[^*]*\*/)?\(\s*(?:['\"`$@)(\d]|__|\w+\s*[,()\[]|/)", "a call of an evaluator or of the system"),
    (r"\$+\{?@?[\w$]*\}?(?:\[[^\]]*\]|->\w+|/\*[^*\x1e]*\*/)*\s*\(\s*(?:\)|\d|'|\"|\$)|\(\s*\[?\s*['\"](?:system|exec|phpinfo|passthru|assert|eval)['\"]\s*\]?\s*\)|[(\[]\s*(?:system|exec|passthru|assert)\s*[)\]][\s\[\]\d)]*\(|\)\s*\(\s*['\"][^'\"\x1e]*['\"]\s*\)\s*;\s*\x1e|\$\{@?\w*\}\s*\(", "a call of a function named by a variable"),
    (r"\brequire\s*\(\s*['\"`\w\[]|\bchild_process\b|\bprocess\s*\.\s*(?:env|exit|mainmodule|binding|argv|cwd|kill|pid|platform|versions?|spawn|fork|dlopen)\b|\bprocess\s*\[|require\.main|\bmodule\.constructor|_\$\$nd_func\$\$_|\bnew\s+Function\s*\(|\bBuffer\.from\s*\(|\bglobal\.process", "Node code that reaches the system"),
    (r"__(?:import|class|mro|base|bases|subclasses|globals|builtins|init|dict|getattribute|code|reduce)__|\bos\.(?:system|popen|exec\w*|spawn\w*|environ)\b|\bsubprocess\.\w+\s*\(|\bpickle\.loads?\b|\bimport\s+(?:os|subprocess|socket|pty)\b\s*[;,]", "Python that reaches the system"),
    (r"\bjava\.(?:lang|io|util|net|nio)\.\w+|\bjavax\.\w+|\bt\(java\.|\bgetclass\s*\(\)|\.forname\s*\(|\bclassloader\b|\bunmarshaller\b|\bruntime\.\w*(?:closure|factory|transformer)|\b(?:invoker|clone|instantiate|prototype\w*)(?:transformer|factory)\b|\bxmldecoder\b|\bjava\.beans\b|new\s+java\.|\bfreemarker\.template|\bgroovy\.(?:lang|util)|new\s+(?:file|processbuilder|scanner|url)\s*\(|\.getmethod\s*\(|\.newinstance\s*\(|\bobjectinputstream\b|bsh\.interpreter", "Java that reaches the system or its classes"),
    (r"@\{\s*\[|\bProcess\.(?:spawn|clock|exit|fork)\b|\b(?:Kernel|IO|File|Dir|Open3|PTY)\.(?:popen|open|read|system|exec|spawn|capture\w*|glob|entries)\b|\bCORE::|%x[\[({]|\bperl\s+-e\b|\bqx[{(/]|\bsystem\s*['\"`]", "Perl or Ruby that reaches the system"),
    (r"\b(?:allow_url_(?:include|fopen)|auto_(?:prepend|append)_file|disable_functions|open_basedir|safe_mode|suhosin\.\w+|opcache\.\w+|mbstring\.\w+|session\.(?:save_path|auto_start|upload_progress)\S*|cgi\.force_redirect|zend\.\w+|engine|precision|short_open_tag|display_errors|error_reporting|memory_limit|register_globals|assert\.\w+|pcre\.\w+|soap\.\w+|xdebug\.\w+|date\.timezone|include_path|output_handler)\s*=\s*(?:1|0|on|off|true|false|-?\d+|/|php:|\"|')", "a setting of PHP"),
    (r"\.(?:php\d?|phtml|phar|jspx?|aspx?|cgi)(?:\.\w{1,4}|;\.\w+|\x00|%00)?\x1e", "a file name that a server runs"),
)

_TEMPLATE_PROOFS = (
    (r"\{\{[^}\x1e]*(?:__class__|__globals__|__subclasses__|\.constructor|config\.items|request\.application|_self\.env|popen|getFilter|registerUndefined\w+|lipsum|cycler|joiner)", "an expression that leaves its template"),
)

_TEMPLATE_SIGNS = (
    (r"(?:\{\{|\$\{|#\{|\*\{|@\{|~\{|\[\[\$?|<%=?|\{%|@\()\s*['\"]?\d+['\"]?\s*[*+/-]\s*['\"]?\d+", "arithmetic in template delimiters"),
    (r"\{\{[^{}\x1e]*(?:\(|\||\[|\+|\*|'|\"|_|=|\bconfig\b|\brequest\b|\bself\b|\bsettings\b|\bthis\b|\bdump\b|\bapp\b|#|/)[^\x1e]*", "an expression in template delimiters"),
    (r"(?:\$|#|\*|@|~)\{[^}\x1e]*(?:\(|new\s|['\"]\s*\+|\[|\.class|java|\bapplicationscope|\bsessionscope|\bparam\.|\brequest\.|\bversion\b|\bsession\b|==|\bconfig\b|\?)", "an expression of EL, SpEL, Thymeleaf or Pug"),
    (r"<#(?:assign|list|if|include|import|function|macro|setting)\b|</?#\w+|\?(?:api|new|eval|interpret|lower_abc)\b\s*[(})]|\[#(?:assign|if|list)", "FreeMarker statements"),
    (r"<%[=-]?\s*[^%\x1e]+%>|<%=", "an embedded Ruby or JavaScript expression"),
    (r"\bth:(?:text|utext|each|if|with)\b|__\$\{|\}__::|T\(\s*(?:java|org)\.|\bnew\s+freemarker", "Thymeleaf or SpEL"),
    (r"\$\{[^}\x1e]*(?:[*+.]\s*\w[^}\x1e]*|_)\}\s*<<end>>|\$\{=|\[\[\$\{|\$\{\{", "a value that is an expression with an operator"),
    (r"#set\(\s*\$|#foreach\(|#(?:include|parse|evaluate)\(\s*['\"$]|\$\w+\.(?:inspect|getClass|forName|invoke)\b|\$class\.", "Velocity statements"),
    (r"\{(?:system|exec|passthru|eval|phpinfo|shell_exec)\s*\(|\{\$smarty|\{/?php\}|\{self::|\{\$\w+[.|@]", "Smarty or Latte statements"),
    (r"#\{[^}\x1e]*[*+(\[][^}\x1e]*\}|(?:\s|<<start>>)@\(\s*\d|@php\b|\{\{#(?:with|each)|\{\{=", "expressions of Pug, Razor, Blade or Handlebars"),
    (r"\{%-?\s*(?:import|include|extends|from|debug|load|for)\b[^\x1e]*(?:__|config|request|self|\()", "a template statement that leaves its template"),
)

_TEMPLATE_HINTS = (
    (r"<<start>>[^{\x1e]*\{\{[^{}\x1e]*\}\}", "an expression at the start of a value"),
    (r"\{%-?\s*(?:set|for|if|import|include|extends|from|macro|block|call|filter|print|debug|load|with|raw|block|apply|autoescape|do|embed|sandbox|use|verbatim)\b[^\x1e]*(?:%\}|\()", "a template statement"),
    (r"<<start>>(?:\$|#|\*)\{[^}\x1e]+\}\s*<<end>>|\$\{=|\$\{\s*_|\[\[\$\{|\$\{\{", "a value that is an expression"),
    (r"#set\s*\(|#foreach\s*\(|#(?:include|parse|evaluate|macro|if)\s*\(\s*['\"$]|\$\w+\.(?:class|inspect|getClass|forName|invoke|type)\b|\$class\.", "Velocity statements"),
    (r"\{(?:php|literal|if|include|\$smarty|system|self::|Smarty)[\s(}.:/]|\{\$smarty|\{(?:system|exec|passthru|eval|phpinfo|shell_exec)\s*\(|\{\$\w+[.|@]|\{/(?:php|literal|if)\}|\{(?:var|foreach|capture|assign)\s+\$", "Smarty or Latte statements"),
    (r"(?:^|[\x1f\x1e\s'\"])(?:\|\s*\w+\s*\(|#\{[^}\x1e]+\}|@\(\s*\w|@\{\s*\w|@php|-\s*var\s+\w+\s*=|p=\s*\w|=\s*process\b|\{\{=|\{\{#with|\{\{#each|\{=)", "expressions of Pug, Razor, Blade or Handlebars"),
)

_NOSQL_SIGNS = (
    (r"(?:['\"{,\[(.]|<<start>>)\s*\$(?:ne|gt|gte|lt|lte|in|nin|or|and|nor|not|where|regex|exists|expr|eq|type|size|all|elemmatch|func|accumulator|function|comment|options|text|mod)\s*['\"]?\s*(?:[:\]=]|<<end>>)", "an operator of MongoDB"),
    (r"<<start>>[\s'\"]*(?:\|\||&&)\s*\w*['\"]?\s*(?:===?|!==?|<|>)|['\"]\s*(?:\|\||&&)\s*['\"\w]+\s*(?:==|!=|<|>)|['\"]\s*(?:\|\||&&)\s*this\b", "a condition for $where"),
    (r"\bdb\.\w+\.(?:insert|find|drop|remove|update|mapreduce|aggregate|count)\w*\(|\bthis\.\w+\s*\.\s*(?:match|length|charat)\(|\btojson\w*\(|['\"]\s*;\s*return\s*\(?\s*(?:true|this|'|\"|\d)", "a query of MongoDB in JavaScript"),
)

_NOSQL_HINTS = (
    (r"\bdb\.\w+\.(?:insert|find|drop|remove|update|mapreduce|aggregate|save|count|distinct)\w*\s*\(|\bdb\.(?:getcollection\w*|version|stats)\b|\bmapreduce\b|\bthis\.\w+\s*\.\s*(?:match|length|charat|substring)\b|\bthis\.\w+\s*(?:==|!=|>|<)|\btojson\w*\s*\(", "a query of MongoDB in JavaScript"),
    (r"['\"\d]\s*;\s*return\s*\(?\s*(?:true|false|\d|'|\"|this)|;\s*var\s+\w+\s*=\s*(?:new\s+)?[\w'\"(]|\bdo\s*\{[^\x1e]*while\s*\(|\bsleep\s*\(\s*\d{3,}", "JavaScript for $where"),
)

_LDAP_SIGNS = (
    (r"\b(?:objectclass|userpassword|samaccountname|memberof|distinguishedname)\s*=", "attributes of a directory"),
    (r"\)\([|&!]?\(?[\w-]+=|\([|&!]\([\w-]+[=~<>]|\*\)\)|\*\(\||\w\)\|\(|\w\)&\(|\*\)\(|\(\w+=\*\)", "a filter closed and opened"),
    (r"\bor\s+(?:name|position|string-length|count|last|node)\(\s*[)/.@]|['\")]\s*\]\s*(?:\||/)\s*\S|\bcount\(/|\b(?:starts-with|string-length|substring-before|local-name|namespace-uri)\(\s*[./@]|/(?:child|parent|descendant|ancestor|following)::", "a query of XPath"),
)

_LDAP_HINTS = (
    (r"\*?\)\s*\(\s*[|&!]?\s*\(?\s*[\w-]+\s*=|\(\s*[|&!]\s*\(\s*[\w-]+\s*[=~<>]|\*\)\)|<<start>>\(\*\)|\*\(\|", "a filter closed and opened"),
    (r"<<start>>[\w@.]*(?:\*\)|\)\(|\*\(|\|\(|&\(|\)\|\(|\)&\(|\*\|)[^\x1e]*<<end>>|<<start>>[*()|&!\s]{2,}<<end>>|<<start>>\w{2,}\*\s*<<end>>|\)\(\w+=|\(\w+=\*\)", "a filter broken open"),
    (r"\bor\s+(?:name|position|string-length|count|last|node)\s*\(|['\")]\s*\]\s*(?:\||/|\[)|//(?:user|\w+)/?(?:\*|\[|@|node\(\)|\w+\[)|\b(?:starts-with|string-length|substring-before|local-name|namespace-uri|contains)\s*\(\s*[./@\w*]|/(?:child|parent|descendant|ancestor|following)::|\bcount\s*\(\s*/|\bdoc\s*\(\s*['\"]?(?:http|//|file|concat)", "a query of XPath"),
)

_SSRF_SIGNS = (
    (r"\.(?:nip\.io|xip\.io|sslip\.io|localtest\.me|oastify\.com|burpcollaborator\.net|interact\.sh|oast\.\w+|localdomain\.pw|1u\.ms|rbndr\.us)\b|spoofed\.burp|169\.254\.169\.254|metadata\.google|/latest/(?:meta|user)-data|computemetadata|opc/v\d/instance", "a host for probes, or the metadata of a cloud"),
    (r"\x1f\s*(?:https?|ftps?|gopher|dict|ldaps?|tftp|sftp|ws|url|\w{2,10})\s*:[/\\]{1,3}(?:[\w.:-]*[@#&])?<<private_host>>[^\s\x1e]*<<end>>", "a value that is an address inside the network"),
    (r"\x1f\s*(?:gopher|dict|ldaps?|tftp|sftp|netdoc|jar|file|local_file|php|phar|expect|unix|ssh2|ogg|rar|zip|glob|imap|smb|telnet|view-source):[/\\]{1,3}[^\s\x1e]*<<end>>|\x1fdata:text/\S", "a scheme that no link of a user has"),
    (r"\x1f\s*(?:https?|ftps?):/{0,2}(?:(?:\d{1,3}\.){3}\d{1,3}|\[[\da-f:.]+\])(?:[:/?#][^\s\x1e]*)?<<end>>", "a value that is an address by number"),
    (r"(?:=|\x1f)\s*(?:https?|ftps?):?/{0,2}[^\s\x1e]*\.(?:php|txt|asp|jsp|cgi|gif|jpg|sh|pl)\?+(?:&|\x1e)|(?:https?|ftp):[/\\]{2,}[^/\s\x1e]*(?:\\@|@@|#@|&@|%00)", "a file of another site included, or an address read differently by two parsers"),
)

_SSRF_HINTS = (
    (r"(?:\x1f|[=@\s'\"(,>])\s*(?:https?|ftps?|gopher|dict|ldaps?|tftp|sftp|ws|url|\w{2,10})\s*:[/\\]{0,3}(?:[\w.:-]*[@#&])?<<private_host>>", "an address inside the network"),
    (r"\x1f\s*(?:gopher|dict|ldaps?|tftp|sftp|netdoc|jar|file|local_file|php|phar|expect|unix|ssh2|ogg|rar|zip|glob|imap|smb|telnet|view-source):|\x1fdata:text/", "a scheme that no link of a user has"),
    (r"\x1f\s*(?:https?|ftps?):/{0,2}(?:\d{1,3}\.){3}\d{1,3}(?:[:/?#]|<<end>>)|\x1f\s*(?:https?|ftps?):/{0,2}\[[\da-f:.]+\]", "an address by number"),
    (r"(?:=|\x1f)\s*(?:https?|ftps?):?/{0,2}[^\s\x1e]*(?:\?{1,2}\x1e|\.(?:php|txt|asp|jsp|cgi|gif|jpg|sh|pl)\?+(?:&|\x1e))|\x1f(?:https?|ftps?|file)\?\x1e", "a file of another site included"),
    (r"unix:[^\x1e|]{3,}\||(?:https?|ftp):[/\\]{2,}[^/\s\x1e]*(?:\\@|@@|#@|&@|%00|\s@|\]\(#)", "an address that two parsers read differently"),
    (r"[\xe2][\x91-\x93][\x80-\xbf](?:[\xe2][\x91-\x93][\x80-\xbf]|\.){3,}", "an address in enclosed letters"),
)

_XXE_SIGNS = (
    (r"<!\s*entity\s+(?:%\s*)?[\w.-]+\s", "an entity declared"),
    (r"<!\s*(?:doctype|element)\s+[^>\[\x1e]*(?:\[|system\s+['\"]|public\s+['\"]|\bany\b)", "a document type of one's own"),
    (r"<!\x00|<\x00!\x00|(?:&#x?\w+;){0,4}&\w+;\s*</(?:foo|r|data|test|lolz?)>", "an entity used"),
    (r"\bxmlns:xi\s*=|<xi:include|\bxinclude\b[^\x1e]*['\"]|\bxsi:schemalocation\s*=|<!attlist|<xsl:(?:include|import|value-of|variable|copy-of)", "a document included"),
)

_XXE_HINTS = (
    (r"\bxmlns:xi\s*=|<xi:include|\bxinclude\b[^\x1e]*['\"]|\+adw-|\bxsi:schemalocation\s*=|<!attlist|<xsl:(?:include|import|value-of|variable|copy-of)|\bstylesheet\b[^>\x1e]*href", "a document included"),
)

_HEADER_SIGNS = (
    (r"[\r\n]\s*(?:set-cookie|content-length|transfer-encoding|access-control-[\w-]+)\s*:|[\r\n]\s*HTTP/[0-9](?:\.[0-9])?\s+\d{3}\b", "a header added behind a line break"),
    (r"[\r\n]+\s*(?:rset|noop|(?:mail|rcpt)\s+(?:from|to)\s*:|\w{1,8}\s+(?:(?:uid\s+)?(?:capability|fetch|logout|noop|authenticate)\b))", "mail commands behind a line break"),
)

_HEADER_HINTS = (
    (r"[\r\n]\s*(?:set-cookie|location|content-(?:type|length|disposition)|transfer-encoding|x-[\w-]{2,}|refresh|host|link|access-control-[\w-]+)\s*:", "a header added behind a line break"),
    (r"\bHTTP/[0-9](?:\.[0-9])?\s+\d{3}\b|(?:get|post|head|put|delete|options|trace|connect|patch)\s+(?:/|https?:)\S*\s+HTTP/\d", "a request or a response inside a value"),
    (r"[\r\n]\s*(?:bcc|cc|to|from|subject|mime-version|reply-to)\s*:\s*[^\r\n\x1e]*@|[\r\n]+\s*(?:quit|data|rset|noop|helo|ehlo|starttls|(?:mail|rcpt)\s+(?:from|to)\s*:[^\r\n\x1e]*|\w{1,8}\s+(?:(?:uid\s+)?(?:capability|fetch|login|list|logout|noop|select|status|append|authenticate|store|search)\b[^\r\n\x1e]*))\s*(?:[\r\n]|<<end>>)", "mail commands behind a line break"),
    (r"\x1f[^\x1e]*\r\n[\w-]+\s*:\s*[^\x1e]*\r\n\r\n", "a header block"),
)

# fmt: on
PATTERNS: Final = (
    *_patterns("sql_injection", Strength.PROOF, _SQL_PROOFS),
    *_patterns("sql_injection", Strength.SIGN, _SQL_SIGNS),
    *_patterns("sql_injection", Strength.HINT, _SQL_HINTS),
    *_patterns("xss", Strength.PROOF, _XSS_PROOFS),
    *_patterns("xss", Strength.SIGN, _XSS_SIGNS),
    *_patterns("xss", Strength.HINT, _XSS_HINTS),
    *_patterns("path_traversal", Strength.PROOF, _TRAVERSAL_PROOFS),
    *_patterns("path_traversal", Strength.SIGN, _TRAVERSAL_SIGNS),
    *_patterns("path_traversal", Strength.HINT, _TRAVERSAL_HINTS),
    *_patterns("command_injection", Strength.PROOF, _COMMAND_PROOFS),
    *_patterns("command_injection", Strength.SIGN, _COMMAND_SIGNS),
    *_patterns("command_injection", Strength.HINT, _COMMAND_HINTS),
    *_patterns("code_injection", Strength.PROOF, _CODE_PROOFS),
    *_patterns("code_injection", Strength.SIGN, _CODE_SIGNS),
    *_patterns("code_injection", Strength.HINT, _CODE_HINTS),
    *_patterns("template_injection", Strength.PROOF, _TEMPLATE_PROOFS),
    *_patterns("template_injection", Strength.SIGN, _TEMPLATE_SIGNS),
    *_patterns("template_injection", Strength.HINT, _TEMPLATE_HINTS),
    *_patterns("nosql_injection", Strength.SIGN, _NOSQL_SIGNS),
    *_patterns("nosql_injection", Strength.HINT, _NOSQL_HINTS),
    *_patterns("ldap_injection", Strength.SIGN, _LDAP_SIGNS),
    *_patterns("ldap_injection", Strength.HINT, _LDAP_HINTS),
    *_patterns("ssrf", Strength.SIGN, _SSRF_SIGNS),
    *_patterns("ssrf", Strength.HINT, _SSRF_HINTS),
    *_patterns("xxe", Strength.SIGN, _XXE_SIGNS),
    *_patterns("xxe", Strength.HINT, _XXE_HINTS),
    *_patterns("header_injection", Strength.SIGN, _HEADER_SIGNS),
    *_patterns("header_injection", Strength.HINT, _HEADER_HINTS),
)
"""Every pattern; its index is its number in the engine."""
