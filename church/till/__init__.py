"""The test till: a small app of its own that stands in for the part of Stripe's API that the site uses.

Start it with ``python -m church.till``; ``make run`` does this if ``settings.till`` is true. It reads the site's own
settings, listens on ``settings.till_address``, stores everything in ``<instance>/till.db`` and delivers webhooks to
``http://<CHURCH_BIND>/stripe/webhook``, signed with the first of ``settings.webhook_secrets``. No money moves, it
calls nothing else, and it does not start in production.

The API is at ``/v1`` and needs the key ``settings.stripe_key``. Members pay at ``/checkout/<session>``, manage a
subscription at ``/portal/<session>`` and pay an open invoice at ``/invoice/<id>``. ``/`` is the operator's page: the
clock, failures to simulate, refunds, disputes, deliveries. Tests use its forms over HTTP
(``church.till.http.pages.operator``).

Times inside objects are those of the till's clock, which the operator can move. An event's ``created`` and a
signature's timestamp are real, since the site measures the delay of webhooks with its own clock.
"""
