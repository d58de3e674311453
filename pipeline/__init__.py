"""What joins packages: demo, simulate, the joint report, shards, landmark models, doctor."""
