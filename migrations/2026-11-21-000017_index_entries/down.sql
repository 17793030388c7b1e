DROP INDEX entries_made_at_index;
