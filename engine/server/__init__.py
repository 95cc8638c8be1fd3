"""Server: the one room that speaks HTTP. The engine behind a locked door, for a browser or a program.

    shapes    what goes over the wire, as dataclasses: for server, client and OpenAPI
    codec     shapes to JSON and back, strictly
    entry     one job as the server knows it; `diary` follows it without holding it up
    door      who may come in: token and cookie, Host, Origin, content types, headers of every answer
    hub       events to many clients: durable ones numbered and resumable, volatile ones latest-wins
    store     jobs in SQLite: what was accepted is never lost
    blobs     pictures by content hash
    book      the queue over the session: submit, reorder, pause, cancel, resume
    library   workflows: the templates, and yours with their versions
    uploads   what comes in as a file: pictures checked before they are kept
    house     all of it together, from listening to shutdown
    models    the shelf with its pictures and notes, and what workflows need of it
    gallery   every picture that was made, found by its graph
    routes    the API, one function a route; `openapi` describes it
    main      the process: port, token, browser

Only `main` and `routes` are entered from outside. Nothing here imports torch: a server listens before torch is there.
"""
