"""Skeletons on Rashomon Ridge: do equally good neural networks share a skeleton?"""
