"""The pipeline: topics → decode → redact → audit → detect → respond, and the kill switch."""
