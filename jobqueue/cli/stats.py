"""``jobqueue stats``."""

from __future__ import annotations

import click

from jobqueue.cli.job_command import JobCommand
from jobqueue.cli.output import print_json, print_table
from jobqueue.feedback import ExtractionFeedback
from jobqueue.json_shapes import Figures, FiguresAnswer


@click.command(cls=JobCommand)
def stats(as_json: bool) -> None:
    """Show how well each prompt version does, over everybody's jobs."""
    feedback = ExtractionFeedback()
    try:
        figures = feedback.figures()
    finally:
        feedback.close()
    if as_json:
        print_json(FiguresAnswer(figures=[Figures.model_validate(one) for one in figures]))
        return
    rows = [
        (
            one.prompt_version,
            one.schema_version,
            one.extractions,
            one.failed,
            one.mean_confidence,
            None if one.mean_processing_time is None else one.mean_processing_time / 1000,
            one.input_tokens,
            one.output_tokens,
            None if one.estimated_cost is None else f"{one.estimated_cost:.4f}",
            None if one.correction_rate is None else f"{one.correction_rate:.1%}",
        )
        for one in figures
    ]
    columns = ["Prompt", "Schema", "Extractions", "Failed", "Confidence", "Seconds", "Tokens in", "Tokens out"]
    print_table([*columns, "Cost, $", "Corrected"], rows)
