from __future__ import annotations

import json
import os
import subprocess
import sys

from tunesmith.run.record.process import alive, elsewhere, identity


def test_this_process_lives():
    assert alive(identity()) and not elsewhere(identity())


def test_a_number_that_was_used_again_is_another_process():
    assert not alive(identity() | {"began": "before"})


def test_an_ended_process_is_dead_even_before_it_is_waited_for():
    code = (
        "from tunesmith.run.record import process as p; "
        "print(__import__('json').dumps(p.identity()), flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        recorded = json.loads(child.stdout.readline())
        assert alive(recorded)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not alive(recorded)
    assert not alive(recorded)


def test_nothing_is_said_of_another_host():
    there = identity() | {"host": "elsewhere"}
    assert elsewhere(there) and not alive(there)
