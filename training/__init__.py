"""What fine-tuning needs beside the model: data, statistics, what trains, what is watched. No checkpoint has it."""
