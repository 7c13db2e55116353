"""Which README.md a repository gets, and what is said of it: the folder's, or the one that it has."""

import pytest

from vlahub.configuration.checkpoint_card import PLACEHOLDER, is_unedited, stamped
from vlahub.conversion.publishing.published_card import card_to_publish

BODY = f"# A model\n\n`from_pretrained({PLACEHOLDER!r})`\n"
NAMED = BODY.replace(PLACEHOLDER, "me/mine")
EDITED = stamped("# A model of before\n") + "\nAnd this is mine.\n"
UNEDITED = stamped("# A model of before\n")


@pytest.fixture
def folder(tmp_path):
    """With a card that nobody edited."""
    (tmp_path / "README.md").write_text(stamped(BODY))
    return tmp_path


def test_a_new_repository_gets_the_folders_card_under_its_own_name(folder):
    found = card_to_publish(folder, "me/mine", None, None)
    assert found.text == stamped(NAMED) and is_unedited(found.text) and found.notes == []
    (folder / "README.md").write_text(stamped(BODY) + "mine\n")  # the name is known, and the stamp is of another text
    found = card_to_publish(folder, "me/mine", None, None)
    assert "'me/mine'" in found.text and found.text.endswith("mine\n") and not is_unedited(found.text)


@pytest.mark.parametrize("present", [None, EDITED])
@pytest.mark.parametrize("choice", [None, "keep", "renew"])
def test_a_folder_without_a_card_leaves_that_of_the_repository(present, choice, tmp_path):
    found = card_to_publish(tmp_path, "me/mine", present, choice)
    assert (found.text, found.notes) == (present, [])


@pytest.mark.parametrize(
    ("present", "choice", "is_renewed", "note"),
    [
        (UNEDITED, None, True, None),
        (UNEDITED, "renew", True, None),
        (UNEDITED, "keep", False, "it was left as it is."),
        (EDITED, None, False, "warning: README.md: me/mine has one that was edited"),
        (EDITED, "renew", True, None),
        (EDITED, "keep", False, "it was left as it is."),
        ("# By somebody\n", None, False, "--card renew replaces it"),
        (stamped(NAMED), "keep", True, None),  # it is the same
    ],
)
def test_what_somebody_wrote_stays_unless_it_is_to_be_renewed(present, choice, is_renewed, note, folder):
    found = card_to_publish(folder, "me/mine", present, choice)
    assert found.text == (stamped(NAMED) if is_renewed else present)
    assert len(found.notes) == bool(note) and (note or "") in "".join(found.notes)
