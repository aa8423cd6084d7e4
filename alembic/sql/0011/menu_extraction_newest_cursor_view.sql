-- How far the events are numbered, for whoever reads the log with a user's own rights: rows of the relay's table may be
-- closed to them, because it names the leader's host. So a view with its owner's rights that shows this number alone.
-- The aggregate makes it read-only, whatever rights a platform grants on everything new.
CREATE OR REPLACE VIEW menu_extraction_newest_cursor AS
    SELECT coalesce(max(last_cursor), 0) AS cursor FROM menu_extraction_relay;
GRANT SELECT ON menu_extraction_newest_cursor TO PUBLIC;
