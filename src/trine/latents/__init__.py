"""Features → code → z, and the prior that codes are to follow."""

from ._base import Latent as Latent
from ._base import latent_for as latent_for
from ._base import latents as latents
