"""Orders per second from post to confirmed, and to visible in tracking, on a system of its own.

Starts Waybill in a temporary home with WAREHOUSE=none, so that nothing behind the confirmation is
measured; stocks 100 SKUs; per number of clients warms up and runs a few times; prints medians and
writes JSON. How each figure is taken: bench/README.md.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WAYBILL = [sys.executable, "-P", "-m", "waybill"]
SKUS = 100
PLENTY = 1_000_000
IDLE_S = 20.0
START_S = 600
CONFIRMED = "capture.order_confirmed.v1"

Json = dict[str, Any]


def main() -> None:
    """Measure what the command line asks for."""
    wanted = _arguments()
    result: Json = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _output(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]).strip(),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "seconds": wanted.seconds,
        "runs": wanted.runs,
        "warm_up_s": wanted.warm_up,
        "buses": {},
    }
    for bus in wanted.bus:
        with _system(bus, wanted.warehouse) as env:
            result["buses"][bus] = _measure(env, wanted)
        wanted.out.write_text(json.dumps(result, indent=1) + "\n")
    print(_table(result))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bus", nargs="+", default=["postgres", "kafka"])
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--warm-up", type=float, default=5.0)
    parser.add_argument("--warehouse", choices=("none", "sandbox"), default="none")
    parser.add_argument("--out", type=Path, default=Path("throughput.json"))
    return parser.parse_args()


@contextmanager
def _system(bus: str, warehouse: str) -> Iterator[dict[str, str]]:
    """A whole Waybill of its own; its folder is dropped at the end."""
    home = tempfile.mkdtemp(prefix="waybill-bench-")
    env = os.environ | {"WAYBILL_HOME": home, "BUS": bus, "WAREHOUSE": warehouse}
    try:
        subprocess.run([*WAYBILL, "up"], env=env, check=True, timeout=START_S)
        lines = (Path(home) / "dev.env").read_text().splitlines()
        told = dict(line.split("=", 1) for line in lines if "=" in line)
        yield env | {name: value.strip("'") for name, value in told.items()}
    finally:
        subprocess.run([*WAYBILL, "clean", "--yes"], env=env, check=False, timeout=START_S)
        shutil.rmtree(home, ignore_errors=True)


def _measure(env: Mapping[str, str], wanted: argparse.Namespace) -> Json:
    _stock(env)
    time.sleep(IDLE_S)
    found: Json = {"idle_memory": _memory(env), "clients": {}}
    for clients in wanted.clients:
        _load(env, clients, wanted.warm_up, f"warm-{clients}")
        loads = [_load(env, clients, wanted.seconds, f"c{clients}-{n}") for n in range(wanted.runs)]
        confirmed = _confirmed_at(env)
        runs = [_figures(load, confirmed) for load in loads]
        found["clients"][clients] = {"runs": runs, "median": _median(runs)}
        print(f"{env['BUS']}, {clients} clients: {json.dumps(_median(runs))}", flush=True)
    found["loaded_memory"] = _memory(env)
    return found


def _stock(env: Mapping[str, str]) -> None:
    lines = [{"sku": f"BENCH-{number:03}", "quantity": PLENTY} for number in range(SKUS)]
    body = json.dumps({"location": "main", "reference": "bench", "lines": lines}).encode()
    request = urllib.request.Request(  # noqa: S310  a URL of our own
        f"{env['INVENTORY_URL']}/v1/stock/receipts",
        body,
        {
            "Authorization": f"Bearer {env['OPERATOR_KEY']}",
            "Content-Type": "application/json",
            "Idempotency-Key": "bench-stock",
        },
    )
    urllib.request.urlopen(request, timeout=60).close()  # noqa: S310  a URL of our own


def _load(env: Mapping[str, str], clients: int, seconds: float, mark: str) -> Json:
    """One run of the client, in its own process; with the processor time it all took."""
    wanted = {
        "capture_url": env["CAPTURE_URL"],
        "tracking_url": env["TRACKING_URL"],
        "storefront_key": env["STOREFRONT_KEY"],
        "clients": clients,
        "seconds": seconds,
        "mark": mark,
        "skus": SKUS,
    }
    ran = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "client.py")],
        input=json.dumps(wanted),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=seconds + 120,
    )
    found: Json = json.loads(ran.stdout)
    return found


def _confirmed_at(env: Mapping[str, str]) -> dict[str, float]:
    """When each order was confirmed, by the log that every operator can export."""
    log = _output([*WAYBILL, "events", "export", "--service", "capture"], env=env)
    events = (json.loads(line) for line in log.splitlines())
    return {
        event["data"]["order_id"]: datetime.fromisoformat(event["time"]).timestamp()
        for event in events
        if event["type"] == CONFIRMED
    }


def _figures(load: Json, confirmed: Mapping[str, float]) -> Json:
    """Rates count the drain; latencies are in milliseconds from the begin of the post."""
    seen = load["seen"]
    return {
        "orders": len(seen),
        "orders_per_s": round(len(seen) / load["took_s"], 2),
        "posted_ms": _quantiles([one["posted_s"] for one in seen]),
        "confirmed_ms": _quantiles([confirmed[one["order_id"]] - one["begun"] for one in seen]),
        "visible_ms": _quantiles([one["visible_s"] for one in seen]),
        "looks_per_order": round(load["looks"] / max(1, len(seen)), 2),
        "client_cpu_share": round(load["cpu_s"] / load["took_s"], 3),
    }


def _quantiles(seconds: Sequence[float]) -> Json:
    ordered = sorted(seconds)
    if not ordered:
        return {"p50": None, "p99": None}
    at = min(len(ordered) - 1, int(len(ordered) * 0.99))
    return {
        "p50": round(statistics.median(ordered) * 1000, 1),
        "p99": round(ordered[at] * 1000, 1),
    }


def _median(runs: Sequence[Json]) -> Json:
    """The median of each figure over the runs."""
    found: Json = {}
    for name, value in runs[0].items():
        values = [run[name] for run in runs]
        if isinstance(value, dict):
            found[name] = {
                key: round(statistics.median(one[key] for one in values), 1) for key in value
            }
        else:
            found[name] = round(statistics.median(values), 2)
    return found


def _memory(env: Mapping[str, str]) -> Json:
    told = json.loads(_output([*WAYBILL, "status", "--json"], env=env))
    names = ("rss_mib", "pss_mib")
    return {
        "programs": {one["name"]: {n: one[n] for n in names} for one in told["programs"]},
        "total": told["total"],
    }


def _output(command: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    return subprocess.run(
        command, env=env, check=True, stdout=subprocess.PIPE, text=True, timeout=300
    ).stdout


def _table(result: Json) -> str:
    lines = [
        "bus       clients  orders/s  confirmed p50/p99 ms  visible p50/p99 ms  post p50/p99 ms"
    ]
    for bus, found in result["buses"].items():
        for clients, measured in found["clients"].items():
            one = measured["median"]
            pairs = [
                f"{one[what]['p50']:.0f} / {one[what]['p99']:.0f}"
                for what in ("confirmed_ms", "visible_ms", "posted_ms")
            ]
            lines.append(
                f"{bus:<10}{clients:>7}{one['orders_per_s']:>10.1f}{pairs[0]:>22}"
                f"{pairs[1]:>20}{pairs[2]:>17}"
            )
        total = found["idle_memory"]["total"]
        lines.append(f"{bus:<10}idle memory: RSS {total['rss_mib']}, PSS {total['pss_mib']} MiB")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
