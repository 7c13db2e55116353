"""Files that a push replaced are taken out of the repository, where and as whom it was pushed."""

import pytest

from vlahub.configuration import hub_removals


@pytest.fixture
def commits(monkeypatch):
    """What was asked of the Hub, whose repository has two branches."""
    found = []

    class Api:
        def __init__(self, token=None):
            self.token = token

        def list_repo_files(self, repo_id, revision=None):
            return {None: ["a", "b", "c"], "dev": ["a", "d"]}[revision]

        def create_commit(self, repo_id, operations, commit_message, revision=None):
            found.append((self.token, repo_id, revision, commit_message, [one.path_in_repo for one in operations]))

    monkeypatch.setattr(hub_removals, "HfApi", Api)
    return found


@pytest.mark.parametrize(("revision", "gone"), [(None, ["b", "c"]), ("dev", ["d"])])
def test_what_was_replaced_goes_by_one_commit_on_the_branch_of_the_push(revision, gone, commits):
    def replaced(present):
        return [name for name in present if name != "a"]

    hub_removals.remove_from_repository("me/mine", replaced, revision, "secret")
    assert commits == [("secret", "me/mine", revision, hub_removals.MESSAGE, gone)]


def test_where_nothing_was_replaced_there_is_no_commit(commits):
    hub_removals.remove_from_repository("me/mine", lambda present: [], None, None)
    assert commits == []
