"""What the controller decides, as pure functions from requests and facts to records and steps.

``networks.py`` decides what a network is, ``endpoints.py`` what a container gets on it,
``gateways.py`` when it needs a way out beside them, ``restoring.py`` what a new engine has to put
right; ``host.py`` and ``decisions.py`` are all of them together, with the book and the drivers at
hand.
"""
