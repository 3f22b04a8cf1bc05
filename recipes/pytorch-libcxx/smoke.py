"""What a build must do before it is published: kernels, autograd, TorchScript, serialization, threads, exceptions."""

import io

import numpy
import torch
from torch import nn

print(torch.__config__.show(), torch.__config__.parallel_info())
assert torch.backends.mkldnn.is_available() and torch.backends.openmp.is_available()
assert not torch.distributed.is_available()

array = numpy.arange(6, dtype="float32").reshape(2, 3)
assert torch.from_numpy(array).sum().item() == array.sum() and (torch.ones(3).numpy() == 1).all()

model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
images = torch.randn(5, 3, 8, 8)
model(images).sum().backward()
assert all(p.grad is not None for p in model.parameters())

scripted = torch.jit.script(model)
assert torch.allclose(scripted(images), model(images))
constants = torch.jit.trace(lambda x: x * 2, torch.ones(3)).graph.findAllNodes("prim::Constant")
assert [node.t("value").item() for node in constants] == [2]  # made in one library, read in another
file = io.BytesIO()
torch.save(model.state_dict(), file)
file.seek(0)
model.load_state_dict(torch.load(file, weights_only=True))

for backend in ("eager", "aot_eager"):
    assert torch.allclose(torch.compile(model, backend=backend)(images), model(images))

assert torch.allclose(torch.linalg.inv(torch.eye(3) * 2), torch.eye(3) / 2)  # LAPACK
for dtype in (torch.float32, torch.float64, torch.complex64, torch.complex128):  # BLAS
    a, b = torch.randn(2, 5, dtype=dtype)
    assert torch.allclose(torch.dot(a, b), (a * b).sum()) and torch.allclose(torch.vdot(a, b), (a.conj() * b).sum())
assert torch.allclose(torch.fft.ifft(torch.fft.fft(torch.ones(4))).real, torch.ones(4))
try:
    torch.ones(2, 3) @ torch.ones(2, 3)
except RuntimeError as error:
    assert "shapes cannot be multiplied" in str(error)
else:
    raise AssertionError("a wrong product raised nothing")
print("all well")
