"""Weights go to the Hub: the folder's own files and its model card, private unless told.

Room: weights (floor 4).
"""

from dataclasses import replace
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, constants, get_token, is_offline_mode

from mardini_cli.errors import HubOfflineError, HubTokenError, MissingWeightsError
from mardini_cli.events import Pushed
from mardini_cli.weights import cards, layout
from mardini_cli.weights.hub import ANSWER_SECONDS, BESIDE
from mardini_cli.weights.refusals import translated
from mardini_cli.weights.sources import HubName


def push(folder: Path, repo: str, *, public: bool = False, dry_run: bool = False) -> Pushed:
    """Share a weights folder, with its model card; a new repository is private unless told.

    Raises:
        WeightsError: the folder is not whole, or the Hub refuses.
    """
    if not folder.is_dir():
        raise MissingWeightsError(
            f"{folder} is no folder", needed="a weights folder", do=layout.HINT
        )
    layout.check_files(folder)
    contents: dict[str, Path | bytes] = {path.name: path for path in layout.ours(folder)}
    contents |= {name: folder / name for name in BESIDE if (folder / name).is_file()}
    contents[layout.MODEL_CARD] = cards.model_card(folder).encode()
    size = sum(c.stat().st_size if isinstance(c, Path) else len(c) for c in contents.values())
    pushed = Pushed(
        name=f"hub:{repo}",
        address=f"{constants.ENDPOINT}/{repo}",
        revision=None,
        files=tuple(sorted(contents)),
        size=size,
        private=not public,
        dry_run=dry_run,
    )
    if dry_run:
        return pushed
    place = HubName(repo=repo)
    if is_offline_mode():
        raise HubOfflineError(
            f"{place}: the network is switched off",
            needed="a connection",
            do="leave --offline out and unset HF_HUB_OFFLINE",
        )
    if not get_token():
        raise HubTokenError(
            "no access token",
            needed="one that may write",
            do="run 'hf auth login', or set HF_TOKEN",
        )
    additions = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
        for name, content in contents.items()
    ]
    with translated(place):
        api = HfApi()
        api.create_repo(repo, private=not public, exist_ok=True)
        private = api.model_info(repo, timeout=ANSWER_SECONDS).private
        commit = api.create_commit(repo, additions, commit_message="Add weights of mardini")
    return replace(pushed, revision=commit.oid, private=bool(private))
