DROP INDEX alerts_open_index;
