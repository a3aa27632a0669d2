"""``python -m church.till``: serve the till until SIGTERM or SIGINT."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402 - gevent has to patch sockets before anything opens one

from church.till.http.serving import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
