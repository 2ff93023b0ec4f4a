"""How the builtin teacher is made: a backbone learns to see on pictures that are drawn here, all of them from seeds.

No photograph and no one else's weights go into it. `python -m worker.training.pretraining` makes it anew.

programs    random textures of a thousand looks
scenes      crops of one to three of them side by side, with painted defects, uneven light, blur and noise
tasks       what the network has to say of every place: which program, which defect, what edges
views       each crop in two lights, and `places`: what is the same place must look the same
fit         the training, in PyTorch
"""
