"""What the controller decides, as pure functions from requests and facts to records and steps.

``networks.py`` decides what a network is, ``endpoints.py`` what a container gets on it,
``restoring.py`` what a new engine has to put right; ``decisions.py`` is all of them together, with
the book and the drivers at hand.
"""
