"""Where text comes from: generated, mirrored or hub corpora, vocabularies and batches."""
