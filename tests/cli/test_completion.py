"""`completion`, as a real shell carries it out."""

import shutil
import subprocess
import sys

import pytest

from anomaly_diffusion.cli.main import VERBS, main

pytest.importorskip("shtab", reason="no shtab: pip install 'anomaly-diffusion[completion]'")

ASK = """
source ./script
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
complete -p anomaly-diffusion | grep -o '_shtab[a-z_]*' > function
$(cat function); printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def completed(tmp_path_factory):
    """Asks bash how it would go on with some words, in a folder with a picture and a config."""
    folder = tmp_path_factory.mktemp("shell")
    (folder / "mine.yaml").touch()
    with pytest.MonkeyPatch.context() as patch, (folder / "script").open("w") as script:
        patch.setattr(sys, "stdout", script)
        assert main(["completion", "bash"]) == 0

    def ask(words):
        done = subprocess.run(
            ["bash", "--norc", "-c", ASK.format(words=words)], cwd=folder, capture_output=True, text=True
        )
        return done.stdout.split()

    return ask


@pytest.mark.parametrize(
    ("words", "among"),
    [
        ("anomaly-diffusion tr", ["train"]),
        ("anomaly-diffusion compare --la", ["--latex"]),
        ("anomaly-diffusion train --trainer.max_s", ["--trainer.max_steps"]),
        ("anomaly-diffusion train --config mi", ["mine.yaml"]),
        ("anomaly-diffusion doctor mi", ["mine.yaml"]),
        ("anomaly-diffusion completion ''", ["bash", "zsh"]),
        ("anomaly-diffusion list noi", ["noises"]),
        ("anomaly-diffusion ''", VERBS),
    ],
)
def test_bash_completes_commands_options_and_files(completed, words, among):
    assert set(among) <= set(completed(words))


def test_nothing_of_another_command_is_offered(completed):
    assert completed("anomaly-diffusion doctor --late") == []


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh: apt-get install zsh")
def test_zsh_reads_its_script(tmp_path, capsys):
    assert main(["completion", "zsh"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    subprocess.run(["zsh", "-n", str(tmp_path / "script")], check=True)


def test_another_shell_is_refused_with_the_list(capsys):
    with pytest.raises(SystemExit):
        main(["completion", "fish"])
    assert "bash" in capsys.readouterr().err


def test_without_shtab_the_package_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert "pip install 'anomaly-diffusion[completion]'" in capsys.readouterr().err
