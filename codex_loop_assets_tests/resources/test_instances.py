"""Laws of opening the home's Dagster instance."""

import subprocess
import sys

OPEN = "from codex_loop_assets.resources.instances import open_instance\nwith open_instance() as i: print(i.get_runs_count())"


def test_processes_that_open_a_new_instance_at_once_all_get_it(home):
    opening = [subprocess.Popen([sys.executable, "-c", OPEN], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=300)[0].strip() for process in opening] == ["0"] * 4
