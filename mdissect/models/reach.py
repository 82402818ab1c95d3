"""Whether a server can be reached: asked before any download, because the libraries that download try for a minute."""

import http.client
import queue
import ssl
import threading
import urllib.error
import urllib.request

REACH_SECONDS = 2.5  # for the connection
WAIT_SECONDS = 3.5  # for all of it: a look-up of the name has no limit of its own
_PROXY_ANSWERS = (407, 502, 503, 504)  # of a proxy, or of a server that is down


def out_of_reach(url: str | None = None) -> str | None:
    """Why a server cannot be reached, found within seconds; None if it answers. By default the Hugging Face hub.

    Proxies (http_proxy, https_proxy, no_proxy), HF_ENDPOINT and HF_HUB_OFFLINE are respected.
    """
    from huggingface_hub import constants

    if url is None and constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    url = url or constants.ENDPOINT
    answers = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(_ask(url)), daemon=True).start()
    try:
        return answers.get(timeout=WAIT_SECONDS)
    except queue.Empty:
        return f"{url} is out of reach (no answer within {WAIT_SECONDS:g} s)"


def _ask(url: str) -> str | None:
    """Why a server's answer is unusable."""
    try:
        opener = urllib.request.build_opener()  # a new one: the module's own keeps the first proxies
        opener.open(urllib.request.Request(url, method="HEAD"), timeout=REACH_SECONDS).close()
    except urllib.error.HTTPError as error:  # an answer, whatever it says
        return f"{url} is out of reach ({error})" if error.code in _PROXY_ANSWERS else None
    except (OSError, ValueError, http.client.HTTPException) as error:
        if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
            return None  # there is a server; the library that downloads has certificates of its own
        return f"{url} is out of reach ({error})"
    return None
