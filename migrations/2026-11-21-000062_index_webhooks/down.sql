DROP INDEX merchants_webhook_index;
