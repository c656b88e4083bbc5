import gc

from fraudline.core.heap import freeze_heap


def test_full_collections_no_longer_look_at_what_was_there() -> None:
    there = [[] for _ in range(3)]
    before = len(gc.get_objects())
    freeze_heap()
    try:
        assert not any(each is there[0] for each in gc.get_objects())
        assert len(gc.get_objects()) < before / 10
        later = [there]
        assert any(each is later for each in gc.get_objects())
    finally:
        gc.unfreeze()
