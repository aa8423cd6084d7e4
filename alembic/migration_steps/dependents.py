"""Finding what others have built on the job table before a change that Postgres would refuse because of it."""

from __future__ import annotations

from jobqueue.errors import QueueUnavailableError
from migration_steps.database import query

# Indexes and constraints follow a column by themselves; a view is named instead of the rule that makes it one. The
# view of the old name and the trigger that notifies are our own.
_DEPENDENTS = """
    SELECT DISTINCT
           CASE WHEN rulename = '_RETURN' THEN pg_describe_object('pg_class'::regclass, ev_class, 0)
                WHEN adnum IS NOT NULL THEN pg_describe_object('pg_class'::regclass, adrelid, adnum)
                ELSE pg_describe_object(dependency.classid, dependency.objid, 0) END AS dependent,
           attname
    FROM pg_depend AS dependency
         LEFT JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
         LEFT JOIN pg_rewrite ON dependency.classid = 'pg_rewrite'::regclass AND pg_rewrite.oid = dependency.objid
         LEFT JOIN pg_attrdef ON dependency.classid = 'pg_attrdef'::regclass AND pg_attrdef.oid = dependency.objid
         LEFT JOIN pg_trigger ON dependency.classid = 'pg_trigger'::regclass AND pg_trigger.oid = dependency.objid
    WHERE refclassid = 'pg_class'::regclass AND refobjid = to_regclass(:relation)
          AND (ev_class IS NULL OR ev_class <> to_regclass('ocr_jobs') OR rulename <> '_RETURN')
          AND (tgfoid IS NULL OR tgfoid IS DISTINCT FROM to_regproc('notify_menu_extraction_jobs'))
          AND (adnum IS NULL OR adnum <> refobjsubid)
          AND CASE WHEN CAST(:columns AS text[]) IS NULL
                   THEN dependency.classid IN ('pg_rewrite'::regclass, 'pg_proc'::regclass)
                   ELSE attname = ANY(CAST(:columns AS text[]))
                        AND dependency.classid IN ('pg_rewrite'::regclass, 'pg_proc'::regclass, 'pg_policy'::regclass,
                                                   'pg_trigger'::regclass, 'pg_attrdef'::regclass,
                                                   'pg_publication_rel'::regclass)
              END
    ORDER BY 1, 2
"""


def refuse_dependents(relation: str, columns: list[str] | None = None) -> None:
    """Raise ``QueueUnavailableError`` if a view, rule, policy or the like uses these columns, or any of the relation.

    To be called before the first change.
    """
    found: dict[str, list[str]] = {}
    for dependent, column in query(_DEPENDENTS, relation=relation, columns=columns):
        found.setdefault(dependent, []).extend([] if column is None else [column])
    if found:
        named = [dependent + (f" (on {', '.join(used)})" if used else "") for dependent, used in found.items()]
        raise QueueUnavailableError(
            f"What the migration changes of {relation} is used by {', '.join(named)}: keep the definition, drop the "
            "object, migrate again and create it anew."
        )
