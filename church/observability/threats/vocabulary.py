r"""The words of the patterns of the threat scan: what a pattern means by <<command>>, <<event>> or <<end>>."""

from __future__ import annotations

import re
from typing import Final

VOCABULARY: Final = {
    "start": r"[\x1e\x1f]\s*",
    "end": r"\s*[\x1e\x1f]",
    # Commands whose name is no word of a language: a separator before them is enough.
    "command": (
        r"(?:/?(?:usr/)?(?:local/)?s?bin/)?(?:whoami|uname|ifconfig|ipconfig|netstat|nslookup|wget|curl|ping6?|ncat|"
        r"netcat|traceroute|tracert|bash|[zkcd]a?sh|sh|ls|pwd|chown|passwd|tftp|telnet|mkdir|systeminfo|tasklist|"
        r"powershell(?:\.exe)?|pwsh|cmd(?:\.exe)?|certutil|bitsadmin|gawk|egrep|fgrep|xxd|base64|busybox|socat|lsof|"
        r"printenv|sudo|scp|getent|dig|ps|phpinfo|crontab|uptime|systemctl|mysqldump|useradd|adduser|dir|"
        r"net\s+(?:user|view|localgroup)|reg\s+(?:add|query)|nmap|tac|nl|xargs|aptitude|apt(?:-get)?|yum|dnf|dpkg|"
        r"strace|ltrace|gdb|rmt|visudo|tcpdump|rsync|sqlite3|psql|msfconsole|journalctl|dmesg|lwp-\w+|ssh|sftp|"
        r"openssl|uuencode|hexdump|mawk|nawk|chroot|ldconfig|iconv|expect|tclsh|lua|irb|pip3?|gem|npm|docker|kubectl)"
    ),
    # Commands that are words too, or do nothing alone: they count only with an argument that looks like one.
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
    """Return `expression` with each <<name>> replaced by its words. Raises KeyError for a name that is not one."""
    while _NAME.search(expression):
        expression = _NAME.sub(lambda name: VOCABULARY[name[1]], expression)
    return expression
