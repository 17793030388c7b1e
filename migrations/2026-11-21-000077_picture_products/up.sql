-- Where a picture of the dish is. The picture itself is somebody else's to keep.
ALTER TABLE products ADD COLUMN image_url text
    CONSTRAINT products_image_url_check CHECK (image_url ~* '^https?://' AND char_length(image_url) <= 500);
