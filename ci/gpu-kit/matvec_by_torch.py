"""Times the product of the bench `peers` by PyTorch, in whichever Python of this machine has it."""

import importlib.util
import statistics

ROWS, COLUMNS, RUNS, LAUNCHES = 262_144, 2048, 31, 10


def main():
    """Prints the median of a product, or why there is none."""
    if importlib.util.find_spec("torch") is None:
        print("torch: not there")
        return
    import torch

    if not torch.cuda.is_available():
        print(f"torch {torch.__version__}: finds no GPU")
        return
    matrix = torch.ones(ROWS, COLUMNS, device="cuda")
    vector = torch.full((COLUMNS,), 2.0, device="cuda")
    torch.mv(matrix, vector)
    times = []
    for _ in range(RUNS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(LAUNCHES):
            torch.mv(matrix, vector)
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / LAUNCHES)
    print(f"torch {torch.__version__}: matvec f32 {ROWS} x {COLUMNS} {statistics.median(times):.1f} us")


if __name__ == "__main__":
    main()
