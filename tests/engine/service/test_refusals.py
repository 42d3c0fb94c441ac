"""Bad requests and other people's: refused in a sentence, and nothing is changed."""

from pathlib import Path
from typing import Any

import pytest

from data_engine.people.tasks.store import Store
from data_engine.service.health import ModelFile
from sam_train.evaluation.models.sam import load_sam
from sam_train.modeling.checkpoint import save_model
from sam_train.modeling.sam import Sam

BAD_ACTIONS: dict[str, dict[str, Any]] = {
    "outside": {"kind": "point", "coords": [70, 5], "label": 1},
    "no label": {"kind": "point", "coords": [5, 5]},
    "half a point": {"kind": "point", "coords": [5], "label": 1},
    "an empty box": {"kind": "box", "coords": [9, 9, 9, 9]},
    "a huge brush": {"kind": "brush", "coords": [5, 5], "label": 1, "radius": 1e6},
    "far away": {"kind": "brush", "coords": [1e9, 5], "label": 1, "radius": 2},
    "no such kind": {"kind": "drop table", "coords": []},
    "negative time": {"kind": "delete", "seconds": -1},
    "nothing to undo": {"kind": "undo"},
    "no candidates": {"kind": "choose", "label": 0},
    "nothing to delete": {"kind": "delete"},
    "text": {"kind": "point", "coords": ["5", "5"], "label": 1},
    "one key more": {"kind": "undo", "annotator": "ben"},
    "too many": {"kind": "brush", "coords": [1] * 50_000, "label": 1, "radius": 1},
}


@pytest.mark.parametrize("bad", BAD_ACTIONS.values(), ids=BAD_ACTIONS)
def test_a_bad_action_is_refused_in_a_sentence(ana: Any, bad: dict[str, Any]) -> None:
    key = ana.claim()["key"]

    response = ana.post(f"tasks/{key}/actions", **{"seq": 0, "object": 1, "seconds": 1.0} | bad)

    assert response.status_code == 422
    assert 5 < len(response.json()["error"]) < 200
    assert ana.claim()["seq"] == 0


def test_numbers_that_are_none_are_refused(ana: Any) -> None:
    key = ana.claim()["key"]
    body = '{"seq":0,"object":1,"kind":"point","seconds":NaN,"coords":[5,Infinity],"label":1}'
    headers = {**ana.headers, "Content-Type": "application/json"}

    response = ana.client.post(f"/api/tasks/{key}/actions", content=body, headers=headers)

    assert response.status_code == 422


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer wrong", "Basic YTpi"])
def test_nobody_gets_in_without_a_token(ana: Any, token: str) -> None:
    ana.headers = {"Authorization": token}

    assert ana.post("task").status_code == 401


def test_an_expired_token_is_told(ana: Any, clock: Any) -> None:
    clock.now += 2 * 86_400

    response = ana.post("task")

    assert response.status_code == 401
    assert "expired" in response.json()["error"]


def test_somebody_elses_image_is_not_shown(ana: Any, ben: Any) -> None:
    key = ana.claim()["key"]

    assert ben.client.get(f"/api/tasks/{key}/image", headers=ben.headers).status_code == 409


@pytest.mark.parametrize(
    "path",
    [
        "/api/tasks/..%2F..%2Fetc%2Fpasswd/image",
        "/api/tasks/%2Fetc%2Fpasswd/image",
        "/api/tasks/%00/image",
        "/static/../serve.py",
        "/static/..%2Fapp.py",
        "/openapi.json",
    ],
)
def test_nothing_beyond_the_pool_and_the_page_is_served(ana: Any, path: str) -> None:
    response = ana.client.get(path, headers=ana.headers)

    assert response.status_code in (404, 409)
    assert "error" in response.json()


def test_other_sites_and_other_names_of_the_host_are_refused(ana: Any) -> None:
    foreign = ana.headers | {"Origin": "http://evil.example"}
    rebound = ana.headers | {"Host": "evil.example"}

    assert ana.client.post("/api/task", headers=foreign).status_code == 403
    assert ana.client.post("/api/task", headers=rebound).status_code == 421
    assert ana.client.post("/api/task", headers=ana.headers).status_code == 200


@pytest.mark.parametrize("told", [True, False])
def test_a_body_that_is_too_large_is_refused(ana: Any, told: bool) -> None:
    key = ana.claim()["key"]
    body = b" " * 1_500_000
    content = body if told else iter([body])

    response = ana.client.post(f"/api/tasks/{key}/actions", content=content, headers=ana.headers)

    assert response.status_code == 413
    assert "bytes" in response.json()["error"]


def test_the_page_runs_no_scripts_but_ours(ana: Any) -> None:
    response = ana.client.get("/health")

    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert response.json()["status"] == "ok"


def test_an_image_that_cannot_be_read_is_left_out_and_told(start: Any, pool: Any) -> None:
    def broken() -> Any:
        raise ValueError("it is damaged")

    first, key, last = pool.keys()
    object.__setattr__(pool.image(key), "load", broken)
    ana = start()("ana")
    assert ana.claim()["key"] == first
    ana.save()

    assert ana.claim()["key"] == last
    health = ana.client.get("/health", headers=ana.headers)
    assert health.status_code == 503
    assert health.json()["problems"] == [f"{key} is left out: it is damaged"]


def test_a_stranger_is_told_that_something_is_wrong_and_no_names(start: Any, pool: Any) -> None:
    def broken() -> Any:
        raise ValueError("<b>it</b> is damaged")

    object.__setattr__(pool.image(pool.keys()[0]), "load", broken)
    ana = start()("ana")
    ana.claim()

    stranger = ana.client.get("/health")
    page = ana.client.get("/health", params={"token": ana.headers["Authorization"][7:]})

    assert (stranger.status_code, stranger.json()) == (503, {"status": "ill"})
    assert page.status_code == 503
    assert f"{pool.keys()[0]} is left out: &lt;b&gt;it" in page.text
    assert ana.client.get("/health", params={"token": "x"}).status_code == 401


def test_an_image_that_became_another_is_left_out_and_its_work_kept(
    start: Any, pool: Any, tmp_path: Path
) -> None:
    ana = start()("ana")
    key = ana.claim()["key"]
    ana.do("brush", 5, 5, label=1, radius=2)
    other = pool.image(pool.keys()[1])
    object.__setattr__(pool.image(key), "load", other.load)
    object.__setattr__(pool.image(key), "encoded", other.encoded)

    ana = start()("ana")

    assert ana.claim()["key"] != key
    (problem,) = ana.client.get("/health", headers=ana.headers).json()["problems"]
    assert problem == f"{key} is left out: it is another picture than before: put the old file back"
    assert len(Store(tmp_path / "people.sqlite").actions(key)) == 1


def test_a_model_file_that_is_swapped_is_told_and_changes_no_mask(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"one")
    model_file = ModelFile.of(path)
    assert model_file.problem() is None

    path.write_bytes(b"another")
    changed = model_file.problem()
    path.unlink()

    assert changed is not None and "has changed since it was read" in changed
    assert "is gone" in (model_file.problem() or "")


@pytest.mark.parametrize("header", ["Host", "Origin"])
@pytest.mark.parametrize("value", ["[", "http://[::1", "null", "http://127.0.0.1.evil.example"])
def test_a_name_that_cannot_be_read_is_no_name_of_this_server(
    ana: Any, header: str, value: str
) -> None:
    response = ana.client.post("/api/task", headers=ana.headers | {header: value})

    assert response.status_code == (421 if header == "Host" else 403)
    assert "server" in response.json()["error"]


NUMBER = "9" * 4000


@pytest.mark.parametrize(
    "body",
    [
        "[" * 400_000,
        '{"seq":' * 100_000,
        f'{{"seq":0,"object":{NUMBER},"kind":"delete","seconds":1}}',
        f'{{"seq":0,"object":1,"kind":"point","seconds":1,"coords":[1,1],"label":{NUMBER}}}',
        f'{{"seq":0,"object":1,"kind":"point","seconds":1,"coords":[{NUMBER},1],"label":1}}',
        f'{{"seq":{NUMBER}9999,"object":1,"kind":"delete","seconds":1}}',
        '{"seq":0,"object":1,"kind":"undo\\n","seconds":1}',
        '{"seq":0,"object":1,"kind":"\\ud800","seconds":1}',
        b"\xff\xfe",
        b"null",
    ],
    ids=range(10),
)
def test_a_body_that_is_a_trap_is_refused_in_a_sentence(ana: Any, body: str | bytes) -> None:
    key = ana.claim()["key"]
    headers = ana.headers | {"Content-Type": "application/json"}

    response = ana.client.post(f"/api/tasks/{key}/actions", content=body, headers=headers)

    assert 400 <= response.status_code < 500
    assert 5 < len(response.json()["error"]) < 500
    assert ana.claim()["seq"] == 0


def test_a_form_of_another_site_is_no_request(ana: Any) -> None:
    key = ana.claim()["key"]
    body = '{"seq":0,"object":1,"kind":"delete","seconds":1}'
    headers = ana.headers | {"Content-Type": "text/plain"}

    response = ana.client.post(f"/api/tasks/{key}/actions", content=body, headers=headers)

    assert response.status_code == 422


def test_a_model_file_that_is_swapped_changes_nothing_under_a_running_server(
    tmp_path: Path, sam: Sam
) -> None:
    file = tmp_path / "model.safetensors"
    save_model(sam, file, model="tiny", config={"image_size": 64, "dim": 32})
    loaded = load_sam(file)
    before = {name: tensor.clone() for name, tensor in loaded.state_dict().items()}

    file.write_bytes(bytes(file.stat().st_size))  # in place, not beside it

    assert all((loaded.state_dict()[name] == tensor).all() for name, tensor in before.items())
