"""The kill switch: trips folded into one state, served to agents when everything else is broken."""
