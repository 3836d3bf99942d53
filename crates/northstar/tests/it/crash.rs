//! The power fails anywhere: what is found afterwards is a prefix of the commits that contains every synced one.
