"""A whole control server as a process of its own, on a real store. Prints its port, then runs until killed.

usage: killswitch_child.py JOURNAL STORE [PORT]
"""

import sys
import threading
from pathlib import Path

from pipeline.audit.store import Store
from pipeline.clock import system_now_ms
from pipeline.control_app import build_control_app, serve_in_thread
from pipeline.killswitch.config import KillSwitchConfig
from pipeline.killswitch.control_log import ControlLog
from pipeline.killswitch.switch import KillSwitch


def main(journal: str, store: str, port: str = "0") -> None:
    control = ControlLog(Store(Path(store)), writer_id="00" * 16, now_ms=system_now_ms)
    config = KillSwitchConfig(journal=Path(journal))
    switch = KillSwitch(config, append=control.append, read_sealed=control.read_sealed)
    switch.start()
    server = serve_in_thread(build_control_app(switch, dict), "127.0.0.1", int(port))
    print(server.port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
