"""Run one fuzzer: ``python tests/fuzz/run.py TARGET SECONDS DIRECTORY``.

Coverage-guided, by atheris. The directory gets the corpus, and ``finding`` if something was found:
make it a case of that parser's tests, then mend the parser.
"""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

with atheris.instrument_imports(include=["cutaway"]):
    from fuzz.targets import SEEDS, TARGETS


def main() -> None:
    name, seconds, directory = sys.argv[1:]
    corpus = Path(directory) / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed{number}").write_bytes(seed)
    flags = [
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-timeout=10",  # seconds for one input: a pattern that explodes is a finding
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        f"-exact_artifact_path={directory}/finding",
    ]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
