"""Settings of the whole suite."""

import pytest
from hypothesis import HealthCheck, settings

# Compiling takes longer than any deadline; a fixed seed makes the plain run the same everywhere.
settings.register_profile(
    "fungrad", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("fungrad")


@pytest.fixture(scope="session", autouse=True)
def cache_directory(tmp_path_factory):
    """The disk cache of this run: empty at its start, so that no result comes from an earlier compiler."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUNGRAD_CACHE_DIR", str(tmp_path_factory.mktemp("machine_code")))
        patch.delenv("FUNGRAD_CACHE", raising=False)
        yield


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden files of tests/**/golden from what the code prints",
    )


@pytest.fixture
def golden(request):
    """A function that compares a text with the golden file of that name beside the test, or writes it."""

    def compare(name: str, text: str) -> None:
        path = request.path.parent / "golden" / f"{name}.txt"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text.rstrip() + "\n")
        assert path.exists(), f"{path} is missing; run pytest --update-golden and look at what it wrote"
        assert text.rstrip() + "\n" == path.read_text(), f"differs from {path}; run pytest --update-golden if it should"

    return compare
