"""What has this network learnt? Concept labels for the neurons of mammography models."""
