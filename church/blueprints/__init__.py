"""One module a blueprint: parse a request, call one service, render."""
