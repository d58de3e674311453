"""Points corrected by hand: the journal, the page in the browser, and its local server."""
