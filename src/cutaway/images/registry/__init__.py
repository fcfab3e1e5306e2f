"""The registry client: HTTP to any OCI or Docker v2 registry, with every answer distrusted.

The problem: a registry, or somebody in front of it, may lie about digest and size, send too much,
too little, slowly or never, redirect to places that must not see a password, or name a token
server that only wants one. And the honest ones drop connections.

The model: a ``Transport`` sends single HTTP requests and owns the rules of redirects, retries and
certificates; an ``Authorizer`` turns challenges into ``Authorization`` headers and owns the rule to
whom credentials go; a ``Repository`` speaks the distribution-spec for one name on one endpoint;
``download`` and ``upload`` move blobs, resuming. All of it blocks and runs in worker threads.

Words: an *endpoint* is a base URL that serves a domain: the registry itself or a *mirror*; a
*challenge* is a 401's ``WWW-Authenticate``; a *realm* is a token server's address, a *scope* what
a token allows.

Read ``settings.py``, ``transport.py``, ``authorizer.py``, ``repository.py``, ``download.py``.

Docker's counterpart: moby ``distribution`` and ``registry``, docker/distribution
``registry/client``.
"""
