"""The test till: a small app of its own that stands in for the part of Stripe's API that the site uses.

Start it with ``python -m church.till``; ``make run`` does so where ``settings.till`` is true. It reads the site's own
settings, listens on ``settings.till_address``, keeps everything in ``<instance>/till.db`` and delivers webhooks to
``http://<CHURCH_BIND>/stripe/webhook``, signed with the first of ``settings.webhook_secrets``. No money moves, nothing
else is ever called, and production refuses to start it.

The API is at ``/v1`` behind the key ``settings.stripe_key``; a person pays at ``/checkout/<session>``, looks after a
subscription at ``/portal/<session>`` and pays an open invoice at ``/invoice/<id>``. ``/`` is for its operator: the
clock, what fails next, refunds, disputes, deliveries. A test drives the same by HTTP
(``church.till.http.pages.operator``).

Times inside objects are those of the till's clock, which can be moved. An event's ``created`` and a signature's
timestamp are real, since the site measures the way of a webhook with its own clock.
"""
