"""Open data sets, and how they are downloaded."""
