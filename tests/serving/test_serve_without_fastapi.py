"""`vidjax serve` names what to install when its packages are missing."""

import subprocess
import sys

SCRIPT = "import sys; sys.modules['fastapi'] = None; from vidjax.cli import main; sys.exit(main(['serve', 'model']))"


def test_without_fastapi_the_message_names_what_to_install():
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert found.stderr == "vidjax: vidjax serve needs fastapi; pip install 'vidjax[serve]'\n"
    assert found.returncode == 2
