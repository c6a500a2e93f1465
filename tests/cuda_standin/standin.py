"""The CUDA kernels compiled for the CPU, each GPU thread a fiber; see standin.h."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import bptt.cuda
from bptt.cuda.arguments import Arguments
from bptt.cuda.plan import KernelPlan

HERE = Path(__file__).parent
SOURCE = Path(bptt.cuda.__file__).parent
COMPILER = shutil.which(os.environ.get("CXX", "g++"))

MAIN = """
#include "standin.h"
#include "walk.h"
extern "C" const char* launch(int which, unsigned blocks, unsigned threads, unsigned shared, unsigned cluster,
                              unsigned seed, const bptt_cuda::Arguments* a) {
    static std::string error;
    try {
        switch (which) {
            %s
        }
        return nullptr;
    } catch (const std::exception& e) {
        error = e.what();
        return error.c_str();
    }
}
"""


class StandIn:
    """The kernels of some plans, on the CPU.

    Args:
        plans: which variants to compile.
        folder: where to compile.
        source: a folder of other C++ files to take instead of the package's.
    """

    def __init__(self, plans: list[KernelPlan], folder: Path, source: Path = SOURCE) -> None:
        self.kernels = [plan.kernel(back) for plan in dict.fromkeys(plans) for back in (False, True)]
        self.seed = 0
        call = "case {}: standin::launch(blocks, threads, shared, cluster, seed, [&] {{ {}(*a); }}); break;"
        cases = (call.format(number, kernel) for number, kernel in enumerate(self.kernels))
        main, library = folder / "standin.cpp", folder / "standin.so"
        main.write_text(MAIN % "\n            ".join(cases))
        options = ["-std=c++17", "-O1", "-fPIC", "-shared", "-fno-math-errno", "-I", str(HERE), "-I", str(source)]
        assert COMPILER is not None
        subprocess.run([COMPILER, *options, "-o", str(library), str(main)], check=True)
        self.library = ctypes.CDLL(str(library))
        self.library.launch.restype = ctypes.c_char_p

    def __call__(self, plan: KernelPlan, back: bool, arguments: Arguments) -> None:
        which, blocks = self.kernels.index(plan.kernel(back)), plan.blocks_for(arguments.B)
        sizes = blocks, plan.threads, plan.shared_bytes(back), plan.blocks, self.seed
        error = self.library.launch(which, *sizes, ctypes.byref(arguments))
        if error is not None:
            raise RuntimeError(error.decode())
