"""The command that checks an operator's texts for instruments."""

from __future__ import annotations

from pathlib import Path

import click

from services.screening import content_packs, instrument_files


@click.command("check-content-pack")
@click.argument("path", type=click.Path(path_type=Path, exists=True))
def check_content_pack(path: Path) -> None:
    """Check the texts at PATH, a TOML file or a folder of them, which an operator brings (docs/content-packs.md)."""
    ours = instrument_files.load_instruments()
    told = content_packs.with_content_pack(ours, path)
    for instrument in told.values():
        if instrument != ours[instrument.id]:
            click.echo(f"{instrument.id:<12} {len(instrument.items):>3} items, texts of {instrument.texts_from}")
    click.echo("The content pack fits.")
