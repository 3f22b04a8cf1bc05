from ._native import answer as answer
from ._native import compiled as compiled
