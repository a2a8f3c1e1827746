"""Several processes, one training: started by PyTorch's launcher, together from the first step to the last.

::

    torchrun --nproc-per-node 2 -m trine fit data.csv --y label --out runs/a

Every process reads the same data and derives the same parts; each takes its rows of every batch. Rank 0 alone prints and writes.
"""

from ._agreement import Decisions as Decisions
from ._agreement import fingerprint as fingerprint
from ._agreement import gathered as gathered
from ._agreement import own_seed as own_seed
from ._agreement import require_same as require_same
from ._agreement import shared as shared
from ._batch_normalisation import whole_statistics as whole_statistics
from ._devices import device_of as device_of
from ._devices import resolve_device as resolve_device
from ._joining import joined as joined
from ._joining import launched_first as launched_first
from ._lost import Lost as Lost
from ._lost import broke_off as broke_off
from ._runs import create_run as create_run
from ._runs import open_run as open_run
from ._shard_files import load_shards as load_shards
from ._shard_files import save_shards as save_shards
from ._shards import gather as gather
from ._shards import is_sharded as is_sharded
from ._shards import mesh_of as mesh_of
from ._shards import shard as shard
from ._shards import whole as whole
