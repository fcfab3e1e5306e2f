"""One step for each change between API versions, so that the backend knows the newest only.

``answers.py`` lists what newer versions added to or took from documents: an answer passes the steps
from the newest down to the client's version. ``requests.py`` lists what older clients mean by what
they leave unsaid.

Read ``answers`` first.

Docker's counterpart: ``versions.LessThan`` all over its routers.

Source: moby ``api/docs/CHANGELOG.md`` (formerly ``docs/api/version-history.md``).
"""
