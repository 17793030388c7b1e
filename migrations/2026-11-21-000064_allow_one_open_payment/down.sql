DROP INDEX payments_open_key;
