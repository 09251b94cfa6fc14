from orchestrator.preview.state import State
from orchestrator.runtime.health import ENGINE, POSTGRES, REDIS, Away, Health
from webhooks.metrics import Metrics, exposition

WELL = Health(away=(), known=(REDIS, ENGINE))
AWAY = Health(away=(Away(name=POSTGRES, fault="x"), Away(name=REDIS, fault="x")), known=(POSTGRES, REDIS))


def test_the_exposition_has_help_type_and_value_for_each_family() -> None:
    counted = Metrics()
    counted.delivery("accepted")
    counted.delivery("accepted")
    lines = exposition(counted, {State.READY: 3}, WELL).decode().splitlines()
    assert 'previewd_deliveries_total{outcome="accepted"} 2.0' in lines
    assert 'previewd_previews{state="ready"} 3.0' in lines
    assert 'previewd_previews{state="failed"} 0.0' in lines
    assert "previewd_redis_up 1.0" in lines
    assert 'previewd_dependency_up{name="engine"} 1.0' in lines
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families))
    assert set(families) >= {
        "previewd_up_seconds", "process_resident_memory_bytes", "previewd_postgres_up", "previewd_redis_up",
        "previewd_dependency_up", "previewd_deliveries_total", "previewd_routed_total", "previewd_previews",
    }  # fmt: skip
    assert {line.split("{")[0].split()[0] for line in lines if not line.startswith("#")} <= set(families)


def test_without_postgres_it_says_so_and_counts_no_previews() -> None:
    text = exposition(Metrics(), None, AWAY).decode()
    assert "previewd_postgres_up 0" in text
    assert "previewd_previews" not in text
    assert 'previewd_dependency_up{name="postgres"} 0' in text
