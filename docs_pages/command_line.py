"""The page of the command line, from the commands themselves."""

import click

from keras_prokt.cli import main

_WIDTH = 84
"""Characters of a line, as a page is wide."""

_BEFORE = """# Command line

What `--help` says, of all commands. Options are made from the settings of a run
(`keras_prokt/settings/parts.py` and the tables of [methods](methods/index.md)). Exit codes: 0;
1 where a run failed; 2 where what was typed makes no sense; 129, 130 and 143 after SIGHUP, SIGINT
and SIGTERM, with the state saved.
"""


def pages() -> dict[str, str]:
    """Markdown by path below the folder of the documents."""
    context = click.Context(main, info_name="keras-prokt", max_content_width=_WIDTH)
    context.terminal_width = _WIDTH
    sections = [_BEFORE, "```text", main.get_help(context), "```"]
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        inner = click.Context(command, info_name=name, parent=context, max_content_width=_WIDTH)
        inner.terminal_width = _WIDTH
        sections += ["", f"## {name}", "", "```text", command.get_help(inner), "```"]
    return {"command_line.md": "\n".join([*sections, ""])}
