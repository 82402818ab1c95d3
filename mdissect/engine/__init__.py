"""Where a pass over a probe runs other than in this process: on the workers of a Ray cluster.

Ray Data reads and prepares the images and hands them to the models; this process alone writes to the store.
"""

from mdissect.engine.cluster import Cluster

__all__ = ["Cluster"]
